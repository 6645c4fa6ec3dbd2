// Forward pass of an ensemble's nets in bfloat16 on AVX512_BF16, and on AMX_BF16 where it is there: all layers of a net
// over a few rows at a time, once or step after step.
//
// A layer is y = silu(x W + b), the last one y = x W + b. Products of bfloat16 are summed in float32; activations between
// layers are rounded to bfloat16, the last layer's outputs are float32. Inputs are scaled and split in two bfloat16 parts,
// which meet the same weights; means and bounded log-variances become means and deviations in the data's units, see
// policies/ensemble.py. Weights come packed in panels of up to 64 columns: for each pair of inputs (2k, 2k+1) and each
// column n, the two weights side by side, as vdpbf16ps and tdpbf16ps take them. Widths are padded with zeros to multiples
// of 16 and of `input_multiple`; a padded column is silu(0) = 0.

#include "bfloat16_numbers.hpp"

namespace {

constexpr int kPanel = 4;        // registers in a panel
constexpr int kTile = 6;         // rows of a tile: 6 x 4 sums, 4 weights and a broadcast fill the 32 registers
#ifdef __AMX_BF16__
constexpr int kWhole = kEven;    // rows that a block is made of
#else
constexpr int kWhole = kTile;
#endif
constexpr int kRows = 48;        // rows that pass all layers together: their activations stay in the first-level cache
constexpr int kWidest = 1024;    // columns

// max(x, 0) + log(1 + e) with e = exp(-|x|); log(1 + e) = 2 atanh(s), s = e / (2 + e) <= 1/3, by its series.
inline __m512 softplus(__m512 x) {
    const __m512 e = exp2<true>(_mm512_mul_ps(_mm512_abs_ps(x), set(-1.44269504f)));
    const __m512 s = _mm512_div_ps(e, _mm512_add_ps(e, set(2.0f)));
    const __m512 q = _mm512_mul_ps(s, s);
    __m512 p = _mm512_fmadd_ps(q, set(2.0f / 9.0f), set(2.0f / 7.0f));
    p = _mm512_fmadd_ps(q, p, set(2.0f / 5.0f));
    p = _mm512_fmadd_ps(q, p, set(2.0f / 3.0f));
    p = _mm512_fmadd_ps(q, p, set(2.0f));
    return _mm512_fmadd_ps(s, p, _mm512_max_ps(x, _mm512_setzero_ps()));
}

// z = x factor + offset as high + low, high = bfloat16(z): `inputs` numbers each, one part after the other; zeros up to
// `width` numbers.
void split(const float* x, int inputs, const float* factor, const float* offset, uint16_t* out, int width) {
    std::memset(out + 2 * inputs, 0, (width - 2 * inputs) * sizeof *out);
    for (int i = 0; i < inputs; i += kLanes) {
        const __mmask16 lanes = first_lanes(inputs - i);
        const __m512 z = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, x + i), _mm512_maskz_loadu_ps(lanes, factor + i),
                                         _mm512_maskz_loadu_ps(lanes, offset + i));
        const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(z));
        store_bfloat16(out + i, lanes, z);
        store_bfloat16(out + inputs + i, lanes, _mm512_sub_ps(z, (__m512)_mm512_slli_epi32(high, 16)));
    }
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

#ifdef __AMX_BF16__
// 16 columns of one layer over Tiles x 16 rows; `pitch` is from a panel's pair of inputs to the next [numbers]. Sums stay
// in the processor's matrix tiles 0 to 2, rows pass through 3 to 5, weights through 6.
template <int Tiles, bool Hidden>
void matrix_tiles(const uint16_t* in, int inputs, const uint16_t* panel, int pitch, const float* bias, void* out,
                  int columns) {
    const int row = inputs * sizeof *in, block = kEven * inputs;
    keep_stores();
    _tile_zero(0); _tile_zero(1); _tile_zero(2);
    for (int k = 0; k < inputs; k += kDepth) {
        _tile_loadd(6, panel + static_cast<size_t>(k / 2) * pitch, pitch * sizeof *panel);
        _tile_loadd(3, in + k, row);
        _tile_dpbf16ps(0, 3, 6);
        if constexpr (Tiles > 1) {
            _tile_loadd(4, in + block + k, row);
            _tile_dpbf16ps(1, 4, 6);
        }
        if constexpr (Tiles > 2) {
            _tile_loadd(5, in + 2 * block + k, row);
            _tile_dpbf16ps(2, 5, 6);
        }
    }
    alignas(64) float sums[Tiles][kEven * kLanes];
    _tile_stored(0, sums[0], kLanes * sizeof(float));
    if constexpr (Tiles > 1) _tile_stored(1, sums[1], kLanes * sizeof(float));
    if constexpr (Tiles > 2) _tile_stored(2, sums[2], kLanes * sizeof(float));
    const __m512 added = _mm512_loadu_ps(bias);
    for (int r = 0; r < Tiles * kEven; ++r) {
        const __m512 sum = _mm512_add_ps(_mm512_load_ps(sums[0] + r * kLanes), added);
        const size_t place = static_cast<size_t>(r) * columns;
        if constexpr (Hidden)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(static_cast<uint16_t*>(out) + place),
                                (__m256i)_mm512_cvtneps_pbh(silu(sum)));
        else
            _mm512_storeu_ps(static_cast<float*>(out) + place, sum);
    }
}

// One layer as `layer` computes it; rows up to a whole matrix tile are computed of whatever `in` holds there.
template <bool Hidden>
void layer_in_tiles(const uint16_t* in, int rows, int inputs, const uint16_t* weights, const float* bias, void* out,
                    int columns) {
    const size_t size = Hidden ? sizeof(uint16_t) : sizeof(float);
    for (int column = 0; column < columns; column += kLanes) {
        const int first = column / (kPanel * kLanes) * (kPanel * kLanes);
        const int registers = (columns - first) / kLanes < kPanel ? (columns - first) / kLanes : kPanel;
        const uint16_t* panel = weights + static_cast<size_t>(first) * inputs + 2 * (column - first);
        for (int r = 0; r < rows; r += kRows) {
            const uint16_t* from = in + static_cast<size_t>(r) * inputs;
            void* place = static_cast<char*>(out) + (static_cast<size_t>(r) * columns + column) * size;
            const int tiles = (rows - r + kEven - 1) / kEven, pitch = 2 * registers * kLanes;
            if (tiles == 1) matrix_tiles<1, Hidden>(from, inputs, panel, pitch, bias + column, place, columns);
            else if (tiles == 2) matrix_tiles<2, Hidden>(from, inputs, panel, pitch, bias + column, place, columns);
            else matrix_tiles<3, Hidden>(from, inputs, panel, pitch, bias + column, place, columns);
        }
    }
}
#endif

// One net.
struct Net {
    int layers;
    const int32_t* widths;           // (layers + 1), see evaluate_nets
    const uint16_t* const* weights;  // (layers)
    const float* const* biases;      // (layers)
};

struct Scratch {
    alignas(64) uint16_t activations[2][kRows * kWidest];
    alignas(64) float heads[kRows * kWidest];
};

// All layers over `rows` rows: from scaled and split inputs in activations[1] to heads.
void forward(const Net& net, int rows, Scratch& scratch, const MatrixTiles& tiles) {
    auto hidden = layer<true>, last = layer<false>;
#ifdef __AMX_BF16__
    if (tiles.there && rows >= kLeast) hidden = layer_in_tiles<true>, last = layer_in_tiles<false>;
#endif
    for (int l = 0; l < net.layers; ++l) {
        const uint16_t* in = scratch.activations[(l + 1) % 2];
        if (l + 1 == net.layers)
            last(in, rows, net.widths[l], net.weights[l], net.biases[l], scratch.heads, net.widths[l + 1]);
        else
            hidden(in, rows, net.widths[l], net.weights[l], net.biases[l], scratch.activations[l % 2],
                   net.widths[l + 1]);
    }
}

// How many of `rows` rows to take at a time: even blocks, of whole tiles where possible.
int block_of(int rows) {
    const int blocks = rows > kRows ? (rows + kRows - 1) / kRows : 1;
    const int even = (rows + blocks - 1) / blocks;
    return (even + kWhole - 1) / kWhole * kWhole;
}

}  // namespace

// What turns inputs into a net's and its outputs back; in the units of policies/ensemble.py.
struct Scales {
    const float* input_factor;      // (inputs)
    const float* input_offset;      // (inputs)
    const float* output_mean;       // (outputs)
    const float* output_deviation;  // (outputs)
    const float* max_log_variance;  // (outputs)
    const float* min_log_variance;  // (outputs)
};

struct Gaussian {
    __m512 mean, deviation;
};

// Targets `i` and following, in `lanes`, of a row of the last layer: scaled means, then unbounded log-variances.
static inline Gaussian targets(const float* heads, int outputs, const Scales& scales, int i, __mmask16 lanes) {
    const auto load = [lanes, i](const float* address) { return _mm512_maskz_loadu_ps(lanes, address + i); };
    const __m512 scale = load(scales.output_deviation);
    const __m512 top = load(scales.max_log_variance), bottom = load(scales.min_log_variance);
    __m512 l = _mm512_sub_ps(top, softplus(_mm512_sub_ps(top, load(heads + outputs))));
    l = _mm512_add_ps(bottom, softplus(_mm512_sub_ps(l, bottom)));
    const __m512 root = exp2<true>(_mm512_mul_ps(l, set(0.5f * 1.44269504f)));
    return {_mm512_fmadd_ps(load(heads), scale, load(scales.output_mean)), _mm512_mul_ps(root, scale)};
}

// Evaluate `nets` nets of `layers` layers on `rows` rows each.
//
//   x          (nets, rows, inputs) float32
//   widths     (layers + 1) padded, of at most 1024; the first is of 2 inputs
//   weights    (nets, layers) addresses of packed weights
//   biases     (nets, layers) addresses of float32 biases, padded
//   mean       (nets, rows, outputs) float32, and deviation likewise
extern "C" void evaluate_nets(int nets, int layers, int inputs, int outputs, const int32_t* widths,
                              const uint16_t* const* weights, const float* const* biases, const Scales* scales,
                              const float* x, int rows, float* mean, float* deviation) {
    Scratch scratch;
    const MatrixTiles tiles;
    const int block = block_of(rows);
    for (int n = 0; n < nets; ++n)
        for (int first = 0; first < rows; first += block) {
            const int count = rows - first < block ? rows - first : block;
            const size_t row = static_cast<size_t>(n) * rows + first;
            for (int r = 0; r < count; ++r)
                split(x + (row + r) * inputs, inputs, scales->input_factor, scales->input_offset,
                      scratch.activations[1] + static_cast<size_t>(r) * widths[0], widths[0]);
            forward({layers, widths, weights + n * layers, biases + n * layers}, count, scratch, tiles);
            for (int r = 0; r < count; ++r)
                for (int i = 0; i < outputs; i += kLanes) {
                    const __mmask16 lanes = first_lanes(outputs - i);
                    const float* heads = scratch.heads + static_cast<size_t>(r) * widths[layers];
                    const Gaussian y = targets(heads, outputs, *scales, i, lanes);
                    _mm512_mask_storeu_ps(mean + (row + r) * outputs + i, lanes, y.mean);
                    _mm512_mask_storeu_ps(deviation + (row + r) * outputs + i, lanes, y.deviation);
                }
        }
}

// x = z B + u for one particle: z (outputs), B (outputs, inputs), u and x (inputs).
static void sense(const float* z, int outputs, const float* matrix, const float* u, int inputs, float* x) {
    for (int i = 0; i < inputs; i += kLanes) {
        const __mmask16 lanes = first_lanes(inputs - i);
        __m512 sum = _mm512_maskz_loadu_ps(lanes, u + i);
        for (int k = 0; k < outputs; ++k) {
            const __m512 row = _mm512_maskz_loadu_ps(lanes, matrix + static_cast<size_t>(k) * inputs + i);
            sum = _mm512_fmadd_ps(set(z[k]), row, sum);
        }
        _mm512_mask_storeu_ps(x + i, lanes, sum);
    }
}

// Carry particles through `steps` steps, each by its own one of `nets` nets:
//
//   x_t = z_t B + u_t,   z_{t+1} = z_t + mean(x_t) + deviation(x_t) e_t
//
// A net's weights stay in the second-level cache while a block of its particles goes through all steps. Nets are as in
// evaluate_nets; all numbers are float32.
//
//   matrix     B (outputs, inputs)
//   known      u (steps, candidates, inputs)
//   noise      e (steps, nets, particles, candidates, outputs), the first four axes by `strides` [numbers]
//   z          (steps + 1, nets, particles, candidates, outputs); the first step is given
extern "C" void carry_particles(int nets, int layers, int inputs, int outputs, const int32_t* widths,
                                const uint16_t* const* weights, const float* const* biases, const Scales* scales,
                                const float* matrix, const float* known, const float* noise, const int64_t* strides,
                                int steps, int particles, int candidates, float* z) {
    Scratch scratch;
    alignas(64) float x[kWidest];
    const MatrixTiles tiles;
    const int rows = particles * candidates, block = block_of(rows);
    const size_t all = static_cast<size_t>(nets) * rows * outputs;
    for (int n = 0; n < nets; ++n)
        for (int first = 0; first < rows; first += block) {
            const int count = rows - first < block ? rows - first : block;
            for (int t = 0; t < steps; ++t) {
                float* now = z + t * all + (static_cast<size_t>(n) * rows + first) * outputs;
                for (int r = 0; r < count; ++r) {
                    const size_t candidate = static_cast<size_t>(first + r) % candidates;
                    sense(now + r * outputs, outputs, matrix, known + (t * candidates + candidate) * inputs, inputs, x);
                    split(x, inputs, scales->input_factor, scales->input_offset,
                          scratch.activations[1] + static_cast<size_t>(r) * widths[0], widths[0]);
                }
                forward({layers, widths, weights + n * layers, biases + n * layers}, count, scratch, tiles);
                for (int r = 0; r < count; ++r) {
                    const int particle = (first + r) / candidates, candidate = (first + r) % candidates;
                    const float* e = noise + t * strides[0] + n * strides[1] + particle * strides[2] +
                                     candidate * strides[3];
                    const float* heads = scratch.heads + static_cast<size_t>(r) * widths[layers];
                    for (int i = 0; i < outputs; i += kLanes) {
                        const __mmask16 lanes = first_lanes(outputs - i);
                        const Gaussian y = targets(heads, outputs, *scales, i, lanes);
                        const __m512 change =
                            _mm512_fmadd_ps(y.deviation, _mm512_maskz_loadu_ps(lanes, e + i), y.mean);
                        float* place = now + r * outputs + i;
                        _mm512_mask_storeu_ps(place + all, lanes,
                                              _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, place), change));
                    }
                }
            }
        }
}
