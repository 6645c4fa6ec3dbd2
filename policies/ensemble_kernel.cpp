// Forward pass of several perceptrons in bfloat16 on AVX512_BF16: all layers of a net over a few rows at a time.
//
// A layer is y = silu(x W + b), the last one y = x W + b. Products of bfloat16 are summed in float32; activations between
// layers are rounded to bfloat16, the last layer's outputs are float32. Weights come packed in panels of up to 64 columns:
// for each pair of inputs (2k, 2k+1) and each column n, the two weights side by side, as vdpbf16ps takes them. Widths are
// padded with zeros: inputs to an even number, columns to a multiple of 16; a padded column is silu(0) = 0.

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

constexpr int kLanes = 16;       // columns in a register
constexpr int kPanel = 4;        // registers in a panel
constexpr int kTile = 6;         // rows of a tile: 6 x 4 sums, 4 weights and a broadcast fill the 32 registers
constexpr int kRows = 48;        // rows that pass all layers together: their activations stay in the first-level cache
constexpr int kWidest = 1024;    // columns

// x / (1 + exp(-x)); exp as 2^n p(f), |f| <= 1/2, with a relative error below 2e-4, finer than bfloat16's 4e-3.
inline __m512 silu(__m512 x) {
    const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f));
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(t, n);
    __m512 p = _mm512_fmadd_ps(f, _mm512_set1_ps(0.0555041f), _mm512_set1_ps(0.2402265f));
    p = _mm512_fmadd_ps(f, p, _mm512_set1_ps(0.6931472f));
    p = _mm512_fmadd_ps(f, p, _mm512_set1_ps(1.0f));
    const __m512 e = _mm512_scalef_ps(p, n);
    return _mm512_mul_ps(x, _mm512_rcp14_ps(_mm512_add_ps(e, _mm512_set1_ps(1.0f))));
}

inline __m512bh pair(const uint16_t* address) {
    int32_t both;
    std::memcpy(&both, address, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

// Rows x (16 Registers) columns of one layer: `in` has rows of `inputs`, `out` rows of `columns`.
template <int Rows, int Registers, bool Hidden>
void tile(const uint16_t* in, int inputs, const uint16_t* panel, const float* bias, void* out, int columns) {
    __m512 sum[Rows][Registers];
    for (int r = 0; r < Rows; ++r)
        for (int j = 0; j < Registers; ++j) sum[r][j] = _mm512_loadu_ps(bias + j * kLanes);
    for (int k = 0; k < inputs; k += 2) {
        __m512bh weight[Registers];
        for (int j = 0; j < Registers; ++j)
            weight[j] = (__m512bh)_mm512_loadu_si512(panel + (static_cast<size_t>(k) * Registers + 2 * j) * kLanes);
        for (int r = 0; r < Rows; ++r) {
            const __m512bh x = pair(in + static_cast<size_t>(r) * inputs + k);
            for (int j = 0; j < Registers; ++j) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], x, weight[j]);
        }
    }
    for (int r = 0; r < Rows; ++r)
        for (int j = 0; j < Registers; ++j) {
            const size_t place = static_cast<size_t>(r) * columns + j * kLanes;
            if constexpr (Hidden)
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<uint16_t*>(out) + place),
                                    (__m256i)_mm512_cvtneps_pbh(silu(sum[r][j])));
            else
                _mm512_storeu_ps(static_cast<float*>(out) + place, sum[r][j]);
        }
}

template <int Registers, bool Hidden>
void panel_rows(const uint16_t* in, int rows, int inputs, const uint16_t* panel, const float* bias, void* out,
                int columns) {
    const size_t size = Hidden ? sizeof(uint16_t) : sizeof(float);
    const auto run = [&](auto tile_of, int first) {
        tile_of(in + static_cast<size_t>(first) * inputs, inputs, panel, bias,
                static_cast<char*>(out) + static_cast<size_t>(first) * columns * size, columns);
    };
    int row = 0;
    for (; row + kTile <= rows; row += kTile) run(tile<kTile, Registers, Hidden>, row);
    for (; row + 2 <= rows; row += 2) run(tile<2, Registers, Hidden>, row);
    if (row < rows) run(tile<1, Registers, Hidden>, row);
}

// One layer over `rows` rows; `weights` holds its panels one after the other.
template <bool Hidden>
void layer(const uint16_t* in, int rows, int inputs, const uint16_t* weights, const float* bias, void* out,
           int columns) {
    const size_t size = Hidden ? sizeof(uint16_t) : sizeof(float);
    for (int first = 0; first < columns;) {
        const int registers = (columns - first) / kLanes < kPanel ? (columns - first) / kLanes : kPanel;
        const uint16_t* panel = weights + static_cast<size_t>(first) * inputs;
        void* place = static_cast<char*>(out) + first * size;
        switch (registers) {
            case 1: panel_rows<1, Hidden>(in, rows, inputs, panel, bias + first, place, columns); break;
            case 2: panel_rows<2, Hidden>(in, rows, inputs, panel, bias + first, place, columns); break;
            case 3: panel_rows<3, Hidden>(in, rows, inputs, panel, bias + first, place, columns); break;
            default: panel_rows<4, Hidden>(in, rows, inputs, panel, bias + first, place, columns);
        }
        first += registers * kLanes;
    }
}

}  // namespace

// Evaluate `nets` nets of `layers` layers on `rows` rows each.
//
//   x          (nets, rows, widths[0]) bfloat16
//   widths     (layers + 1) padded: widths[0] even, the others multiples of 16 of at most 1024
//   weights    (nets, layers) addresses of packed weights
//   biases     (nets, layers) addresses of float32 biases, padded
//   y          (nets, rows, widths[layers]) float32
extern "C" void evaluate_nets(const uint16_t* x, int nets, int rows, int layers, const int32_t* widths,
                              const uint16_t* const* weights, const float* const* biases, float* y) {
    alignas(64) uint16_t activations[2][kRows * kWidest];
    const int inputs = widths[0], outputs = widths[layers];
    for (int net = 0; net < nets; ++net)
        for (int first = 0; first < rows; first += kRows) {
            const int count = rows - first < kRows ? rows - first : kRows;
            const size_t row = static_cast<size_t>(net) * rows + first;
            const uint16_t* in = x + row * inputs;
            for (int l = 0; l < layers; ++l) {
                const uint16_t* weight = weights[net * layers + l];
                const float* bias = biases[net * layers + l];
                if (l + 1 == layers) {
                    layer<false>(in, count, widths[l], weight, bias, y + row * outputs, widths[l + 1]);
                } else {
                    uint16_t* out = activations[l % 2];
                    layer<true>(in, count, widths[l], weight, bias, out, widths[l + 1]);
                    in = out;
                }
            }
        }
}
