// Dreamer's steps in bfloat16 on AVX512_BF16, and on AMX_BF16 where it is there: a block of rows goes through all of them
// at once. An imagined step is the actor, the block GRU, the prior and a draw from it; one that is observed is the block
// GRU, the posterior and a draw; see policies/dreamer_model.py.
//
// Products of bfloat16 are summed in float32; norms, gates and probabilities are computed in float32; what passes from
// layer to layer is rounded to bfloat16.

#include "bfloat16_dense.hpp"

#include <vector>

namespace {

constexpr int kSlack = 64;  // numbers behind a buffer that the last row's padded layer may look at

}  // namespace

struct Network {
    int32_t deter, blocks, latents, classes, actions, actor_layers;
    float unimix, deviation_low, deviation_high;
    const Dense* actor;       // (actor_layers + 1); the last one gives means and widths, padded
    Dense action_in, deter_in, stoch_in;
    Dense core_shared;        // of what all blocks see: (3 hidden, deter), with the core's bias and gain
    Dense core_recurrent;     // the same without actions: (2 hidden, deter)
    const Dense* core_own;    // (blocks)
    const Dense* gates;       // (blocks), each of reset, candidate, update
    Dense prior[3];
    Dense posterior_in;       // of h: (deter, hidden)
    Dense posterior_out;
    Dense deter_back, stoch_back, recurrent_back;  // the same weights transposed, which take gradients back
    const Dense* own_back;    // (blocks)
    const Dense* gates_back;  // (blocks)
    Dense posterior_in_back, posterior_out_back;
};

namespace {

// silu(gain y / root(mean y² + 1e-4)), rounded, with y = x + bias + more of a row of `width` sums; `more` may be null.
void normed_row(float* x, int width, const float* bias, const float* more, const float* gain, uint16_t* out) {
    __m512 squares = _mm512_setzero_ps();
    for (int i = 0; i < width; i += kLanes) {
        __m512 value = _mm512_add_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(bias + i));
        if (more) value = _mm512_add_ps(value, _mm512_loadu_ps(more + i));
        _mm512_storeu_ps(x + i, value);
        squares = _mm512_fmadd_ps(value, value, squares);
    }
    const __m512 mean = set(_mm512_reduce_add_ps(squares) / width + 1e-4f);
    const __m512 scale = _mm512_div_ps(set(1.0f), _mm512_sqrt_ps(mean));
    for (int i = 0; i < width; i += kLanes) {
        const __m512 value = _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), scale), _mm512_loadu_ps(gain + i));
        store_bfloat16(out + i, 0xFFFF, silu(value));
    }
}

inline __m512 wide(const uint16_t* address) {
    const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(address)));
    return (__m512)_mm512_slli_epi32(bits, 16);
}

inline __m512 sigmoid(__m512 x) {
    const __m512 e = exp2<true>(_mm512_mul_ps(x, set(-1.44269504f)));
    return _mm512_div_ps(set(1.0f), _mm512_add_ps(e, set(1.0f)));
}

inline __m512 tanh(__m512 x) {
    return _mm512_fmsub_ps(set(2.0f), sigmoid(_mm512_add_ps(x, x)), set(1.0f));
}

// Buffers of one thread's block of rows.
struct Scratch {
    explicit Scratch(const Network& net)
        : features(net.deter + net.latents * net.classes), hidden(net.deter_in.outputs),
          widest(std::max({3 * net.deter, net.deter + kDepth, 3 * net.deter_in.outputs, net.action_in.inputs, net.actor[0].outputs,
                           net.actor[net.actor_layers].outputs, net.prior[2].outputs})),
          now(kBlock * features + kSlack), inner{std::vector<uint16_t>(kBlock * widest + kSlack),
                                                 std::vector<uint16_t>(kBlock * widest + kSlack)},
          sums(kBlock * widest + kSlack) {}

    int features, hidden, widest;
    std::vector<uint16_t> now;       // (kBlock, features): h, z
    std::vector<uint16_t> inner[2];
    std::vector<float> sums;
};

// Dense, RMSNorm, SiLU from `in` to columns of `out`; what was to be normed goes to `before` (rows, outputs) too, unless
// that is null.
void hidden_layer(const uint16_t* in, int pitch, int rows, const Dense& dense, Scratch& scratch, uint16_t* out,
                  int out_pitch, const MatrixTiles& tiles, float* before = nullptr) {
    float* sums = before ? before : scratch.sums.data();
    multiply(in, pitch, rows, dense, sums, dense.outputs, false, tiles);
    for (int r = 0; r < rows; ++r)
        normed_row(sums + r * dense.outputs, dense.outputs, dense.bias, nullptr, dense.gain, out + r * out_pitch);
}

// Hidden layers and a linear one, whose sums without bias end in scratch.sums.
void perceptron(const uint16_t* in, int pitch, int rows, const Dense* layers, int hidden, Scratch& scratch,
                const MatrixTiles& tiles) {
    for (int l = 0; l < hidden; ++l) {
        uint16_t* out = scratch.inner[l % 2].data();
        hidden_layer(in, pitch, rows, layers[l], scratch, out, layers[l].outputs, tiles);
        in = out, pitch = layers[l].outputs;
    }
    multiply(in, pitch, rows, layers[hidden], scratch.sums.data(), layers[hidden].outputs, false, tiles);
}

// Actions of `rows` rows: tanh(mean) + ((high - low) sigmoid(width + 2) + low) chance.
void act(const Network& net, int rows, const float* chance, Scratch& scratch, float* actions, const MatrixTiles& tiles) {
    perceptron(scratch.now.data(), scratch.features, rows, net.actor, net.actor_layers, scratch, tiles);
    const Dense& last = net.actor[net.actor_layers];
    const float range = net.deviation_high - net.deviation_low;
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < net.actions; i += kLanes) {
            const __mmask16 lanes = first_lanes(net.actions - i);
            const auto output = [&](int place) {
                return _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, scratch.sums.data() + r * last.outputs + place),
                                     _mm512_maskz_loadu_ps(lanes, last.bias + place));
            };
            const __m512 deviation = _mm512_fmadd_ps(
                set(range), sigmoid(_mm512_add_ps(output(net.actions + i), set(2.0f))), set(net.deviation_low));
            const __m512 noise = _mm512_maskz_loadu_ps(lanes, chance + r * net.actions + i);
            _mm512_mask_storeu_ps(actions + r * net.actions + i, lanes,
                                  _mm512_fmadd_ps(deviation, noise, tanh(output(i))));
        }
}

// a / max(1, |a|), rounded, in rows of `pitch`.
void bounded(const float* actions, int rows, int count, uint16_t* out, int pitch) {
    std::memset(out, 0, static_cast<size_t>(rows) * pitch * sizeof *out);
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < count; i += kLanes) {
            const __mmask16 lanes = first_lanes(count - i);
            const __m512 a = _mm512_maskz_loadu_ps(lanes, actions + r * count + i);
            store_bfloat16(out + r * pitch + i, lanes, _mm512_div_ps(a, _mm512_max_ps(_mm512_abs_ps(a), set(1.0f))));
        }
}

// h ← u tanh(sigmoid(reset) candidate) + (1 - u) h, u = sigmoid(update - 1).
inline __m512 gated(__m512 reset, __m512 candidate, __m512 update, __m512 h) {
    const __m512 bent = tanh(_mm512_mul_ps(sigmoid(reset), candidate)), u = sigmoid(_mm512_sub_ps(update, set(1.0f)));
    return _mm512_fmadd_ps(u, _mm512_sub_ps(bent, h), h);
}

// The same for one block of a row.
void gate(const float* sums, const float* bias, int width, uint16_t* h) {
    for (int i = 0; i < width; i += kLanes) {
        const auto gate_of = [&](int which) {
            return _mm512_add_ps(_mm512_loadu_ps(sums + which * width + i), _mm512_loadu_ps(bias + which * width + i));
        };
        store_bfloat16(h + i, 0xFFFF, gated(gate_of(0), gate_of(1), gate_of(2), wide(h + i)));
    }
}

// What a block of the core is multiplied with behind its row where its inputs are padded: zeros, not the next row.
void close_rows(uint16_t* x, int rows, int width) {
    for (int r = 0; r < rows; ++r) std::memset(x + r * (width + kDepth) + width, 0, kDepth * sizeof *x);
}

// The block GRU: h in scratch.now moves on, given what all blocks see in scratch.inner[0], rows of 3 hidden.
void advance(const Network& net, int rows, Scratch& scratch, const MatrixTiles& tiles) {
    const int own = net.deter / net.blocks, pitch = net.deter + kDepth;
    uint16_t *now = scratch.now.data(), *x = scratch.inner[1].data();
    float* sums = scratch.sums.data();
    multiply(scratch.inner[0].data(), 3 * scratch.hidden, rows, net.core_shared, sums, net.deter, false, tiles);
    for (int g = 0; g < net.blocks; ++g)
        multiply(now + g * own, scratch.features, rows, net.core_own[g], sums + g * own, net.deter, true, tiles);
    for (int r = 0; r < rows; ++r)
        normed_row(sums + r * net.deter, net.deter, net.core_shared.bias, nullptr, net.core_shared.gain, x + r * pitch);
    close_rows(x, rows, net.deter);
    for (int g = 0; g < net.blocks; ++g) {
        multiply(x + g * own, pitch, rows, net.gates[g], sums, 3 * own, false, tiles);
        for (int r = 0; r < rows; ++r)
            gate(sums + r * 3 * own, net.gates[g].bias, own, now + r * scratch.features + g * own);
    }
}

// One-hot z of a row: the class of each latent at which the sum of p = (1 - m) softmax(logits) + m / classes passes u.
// All p go to `probabilities`, unless that is null.
void draw(const Network& net, const float* sums, const float* bias, const float* uniform, uint16_t* z,
          float* probabilities) {
    constexpr uint16_t kOne = 0x3F80;
    const int classes = net.classes;
    const __m512i places = _mm512_mullo_epi32(
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), _mm512_set1_epi32(classes));
    std::memset(z, 0, static_cast<size_t>(net.latents) * classes * sizeof *z);
    for (int first = 0; first < net.latents; first += kLanes) {
        const __mmask16 lanes = first_lanes(net.latents - first);
        const auto logit = [&](int c) {
            const auto get = [&](const float* from) {
                return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, places, from + first * classes + c, 4);
            };
            return _mm512_add_ps(get(sums), get(bias));
        };
        __m512 top = logit(0), total = _mm512_setzero_ps();
        for (int c = 1; c < classes; ++c) top = _mm512_max_ps(top, logit(c));
        const auto weight = [&](int c) {
            return exp2<true>(_mm512_mul_ps(_mm512_sub_ps(logit(c), top), set(1.44269504f)));
        };
        for (int c = 0; c < classes; ++c) total = _mm512_add_ps(total, weight(c));
        const __m512 u = _mm512_maskz_loadu_ps(lanes, uniform + first), share = set(net.unimix / classes);
        const __m512 scale = _mm512_div_ps(set(1.0f - net.unimix), total);
        __m512 passed = _mm512_setzero_ps();
        __m512i chosen = _mm512_setzero_si512();
        for (int c = 0; c < classes; ++c) {
            const __m512 p = _mm512_fmadd_ps(weight(c), scale, share);
            if (probabilities)
                _mm512_mask_i32scatter_ps(probabilities + first * classes + c, lanes, places, p, 4);
            // The last class has no upper bound, however the sum was rounded.
            if (c + 1 == classes) break;
            passed = _mm512_add_ps(passed, p);
            const __mmask16 beyond = _mm512_cmp_ps_mask(u, passed, _CMP_GE_OQ);
            chosen = _mm512_mask_add_epi32(chosen, beyond, chosen, _mm512_set1_epi32(1));
        }
        alignas(64) int32_t classes_chosen[kLanes];
        _mm512_store_si512(classes_chosen, chosen);
        for (int l = first; l < std::min(first + kLanes, net.latents); ++l)
            z[l * classes + classes_chosen[l - first]] = kOne;
    }
}

}  // namespace

// Imagine `steps` steps from `rows` rows on `threads` threads; the first of visited is given.
//
//   latent_noise  (steps, rows, latents) float32, uniform in 0..1
//   chance        (steps + 1, rows, actions) float32, standard normal
//   visited       (steps + 1, rows, deter + latents * classes) bfloat16
//   actions       (steps + 1, rows, actions) float32
extern "C" void imagine(const Network* network, int threads, int steps, int rows, const float* latent_noise,
                        const float* chance, uint16_t* visited, float* actions) {
    const Network& net = *network;
#pragma omp parallel num_threads(threads)
    {
        const MatrixTiles tiles;
        Scratch scratch(net);
        const int hidden = scratch.hidden, features = scratch.features;
        uint16_t *now = scratch.now.data(), *seen = scratch.inner[0].data(), *bound = scratch.inner[1].data();
#pragma omp for schedule(dynamic)
        for (int begin = 0; begin < rows; begin += kBlock) {
            const int count = std::min(kBlock, rows - begin);
            const size_t bytes = static_cast<size_t>(count) * features * sizeof *now;
            const auto place = [&](int step) { return static_cast<size_t>(step) * rows + begin; };
            std::memcpy(now, visited + place(0) * features, bytes);
            for (int step = 0;; ++step) {
                float* chosen = actions + place(step) * net.actions;
                act(net, count, chance + place(step) * net.actions, scratch, chosen, tiles);
                if (step == steps) break;
                bounded(chosen, count, net.actions, bound, net.action_in.inputs);
                hidden_layer(bound, net.action_in.inputs, count, net.action_in, scratch, seen + 2 * hidden, 3 * hidden,
                             tiles);
                hidden_layer(now, features, count, net.deter_in, scratch, seen, 3 * hidden, tiles);
                hidden_layer(now + net.deter, features, count, net.stoch_in, scratch, seen + hidden, 3 * hidden, tiles);
                advance(net, count, scratch, tiles);
                perceptron(now, features, count, net.prior, 2, scratch, tiles);
                const Dense& last = net.prior[2];
                for (int r = 0; r < count; ++r)
                    draw(net, scratch.sums.data() + r * last.outputs, last.bias,
                         latent_noise + (place(step) + r) * net.latents, now + r * features + net.deter, nullptr);
                std::memcpy(visited + place(step + 1) * features, now, bytes);
            }
        }
    }
}

#include "dreamer_scan.hpp"
