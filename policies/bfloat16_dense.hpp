// A dense layer of bfloat16 weights for rows of bfloat16, summed in float32.
//
// Weights are packed in panels of up to 64 columns: for each pair of inputs (2k, 2k+1) and each column n, the two weights
// side by side, as vdpbf16ps and tdpbf16ps take them; inputs are padded with zeros to a multiple of `input_multiple`, so
// that what lies behind a layer's inputs in its row counts for nothing.

#include "bfloat16_numbers.hpp"

#include <algorithm>

namespace {

constexpr int kPanel = 64;  // columns
constexpr int kBlock = 48;  // rows that are multiplied together, at most

}  // namespace

// A dense layer and, where `gain` is given, RMSNorm and SiLU after it.
struct Dense {
    const uint16_t* weights;  // packed
    const float* bias;        // (outputs), or null
    const float* gain;        // (outputs), or null
    int32_t inputs, outputs;  // inputs padded, outputs a multiple of 16
};

namespace {

// Rows of `Tiles` matrix tiles, 16 columns: out (+)= in W.
#ifdef __AMX_BF16__
template <int Tiles>
void in_matrix_tiles(const uint16_t* in, int pitch, const Dense& dense, int column, float* out, int out_pitch, bool add) {
    const int first = column / kPanel * kPanel, wide = std::min(kPanel, dense.outputs - first);
    const uint16_t* panel = dense.weights + static_cast<size_t>(first) * dense.inputs + 2 * (column - first);
    const size_t in_stride = pitch * sizeof *in, out_stride = out_pitch * sizeof *out;
    const uint16_t *in1 = in + kEven * pitch, *in2 = in1 + kEven * pitch;
    float *out1 = out + kEven * out_pitch, *out2 = out1 + kEven * out_pitch;
    keep_stores();
    if (add) {
        _tile_loadd(0, out, out_stride);
        if constexpr (Tiles > 1) _tile_loadd(1, out1, out_stride);
        if constexpr (Tiles > 2) _tile_loadd(2, out2, out_stride);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
    }
    for (int k = 0; k < dense.inputs; k += kDepth) {
        _tile_loadd(6, panel + static_cast<size_t>(k) * wide, 2 * wide * sizeof *panel);
        _tile_loadd(3, in + k, in_stride);
        _tile_dpbf16ps(0, 3, 6);
        if constexpr (Tiles > 1) {
            _tile_loadd(4, in1 + k, in_stride);
            _tile_dpbf16ps(1, 4, 6);
        }
        if constexpr (Tiles > 2) {
            _tile_loadd(5, in2 + k, in_stride);
            _tile_dpbf16ps(2, 5, 6);
        }
    }
    _tile_stored(0, out, out_stride);
    if constexpr (Tiles > 1) _tile_stored(1, out1, out_stride);
    if constexpr (Tiles > 2) _tile_stored(2, out2, out_stride);
    keep_stores();
}
#endif

// `Rows` rows, (16 Registers) columns of a panel: out (+)= in W.
template <int Rows, int Registers>
void in_registers(const uint16_t* in, int pitch, int inputs, const uint16_t* panel, float* out, int out_pitch, bool add) {
    __m512 sum[Rows][Registers];
    for (int r = 0; r < Rows; ++r)
        for (int j = 0; j < Registers; ++j)
            sum[r][j] = add ? _mm512_loadu_ps(out + r * out_pitch + j * kLanes) : _mm512_setzero_ps();
    for (int k = 0; k < inputs; k += 2) {
        __m512bh weight[Registers];
        for (int j = 0; j < Registers; ++j)
            weight[j] = (__m512bh)_mm512_loadu_si512(panel + (static_cast<size_t>(k) * Registers + 2 * j) * kLanes);
        for (int r = 0; r < Rows; ++r) {
            const __m512bh x = pair(in + r * pitch + k);
            for (int j = 0; j < Registers; ++j) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], x, weight[j]);
        }
    }
    for (int r = 0; r < Rows; ++r)
        for (int j = 0; j < Registers; ++j) _mm512_storeu_ps(out + r * out_pitch + j * kLanes, sum[r][j]);
}

template <int Registers>
void panel_rows(const uint16_t* in, int pitch, int rows, int inputs, const uint16_t* panel, float* out, int out_pitch,
                bool add) {
    constexpr int kTogether = 6;
    int row = 0;
    for (; row + kTogether <= rows; row += kTogether)
        in_registers<kTogether, Registers>(in + row * pitch, pitch, inputs, panel, out + row * out_pitch, out_pitch, add);
    for (; row < rows; ++row)
        in_registers<1, Registers>(in + row * pitch, pitch, inputs, panel, out + row * out_pitch, out_pitch, add);
}

// out (+)= in W for `rows` rows, at most kBlock; rows up to a whole matrix tile are computed of whatever lies there.
void multiply(const uint16_t* in, int pitch, int rows, const Dense& dense, float* out, int out_pitch, bool add,
              const MatrixTiles& tiles) {
#ifdef __AMX_BF16__
    if (tiles.there) {
        for (int column = 0; column < dense.outputs; column += kLanes) {
            float* place = out + column;
            if (rows <= kEven) in_matrix_tiles<1>(in, pitch, dense, column, place, out_pitch, add);
            else if (rows <= 2 * kEven) in_matrix_tiles<2>(in, pitch, dense, column, place, out_pitch, add);
            else in_matrix_tiles<3>(in, pitch, dense, column, place, out_pitch, add);
        }
        return;
    }
#endif
    for (int first = 0; first < dense.outputs; first += kPanel) {
        const uint16_t* panel = dense.weights + static_cast<size_t>(first) * dense.inputs;
        const auto run = [&](auto rows_of) {
            rows_of(in, pitch, rows, dense.inputs, panel, out + first, out_pitch, add);
        };
        switch (std::min(kPanel, dense.outputs - first) / kLanes) {
            case 1: run(panel_rows<1>); break;
            case 2: run(panel_rows<2>); break;
            case 3: run(panel_rows<3>); break;
            default: run(panel_rows<4>);
        }
    }
}

}  // namespace

// Pack a matrix whose number for input k and column n lies at weight[k * input_stride + n * column_stride].
extern "C" void pack_matrix(const float* weight, int64_t input_stride, int64_t column_stride, int inputs, int columns,
                            int padded_inputs, int padded_columns, uint16_t* packed) {
    for (int first = 0; first < padded_columns; first += kPanel)
        for (int k = 0; k < padded_inputs; k += 2)
            for (int n = first; n < std::min(first + kPanel, padded_columns); ++n)
                for (int i = k; i < k + 2; ++i, ++packed) {
                    const float value =
                        i < inputs && n < columns ? weight[i * input_stride + n * column_stride] : 0.0f;
                    uint32_t bits;
                    std::memcpy(&bits, &value, sizeof bits);
                    *packed = static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
                }
}
