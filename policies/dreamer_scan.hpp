// The observed steps of policies/dreamer_kernel.cpp, and their gradient: forward from the first step to the last, back from
// the last to the first. What the gradient needs of a step is kept on a tape. It gives the gradients of all sums that
// weights take part in; those of the weights are plain products with what is on the tape, for all steps at once.

// What is kept of each step and row; (steps, rows, ...), and room for 15 more rows.
struct Tape {
    uint16_t* before;      // (deter + stoch) h and z that the step began with, zeros where an episode begins
    uint16_t* seen;        // (2 hidden) what all blocks of the core see
    uint16_t* core;        // (deter) what the gates see
    uint16_t* inner;       // (hidden) the posterior's hidden layer
    float* deter_in;       // (hidden) before its norm, as in the three that follow
    float* stoch_in;       // (hidden)
    float* core_in;        // (deter)
    float* posterior_in;   // (hidden)
    float* gates;          // (3 deter) by blocks, each of reset, candidate, update
};

// Gradients, rounded, of the sums that the weights of these layers take part in; (steps, rows, ...).
struct Pulled {
    uint16_t *deter_in, *stoch_in, *core_in, *gates, *posterior_in, *posterior_out;
    float *drive;                                         // (deter) the same of the core in float32
    float *evidence;                                      // (hidden) the same of the posterior
    float *deter_gain, *stoch_gain, *core_gain, *posterior_gain;  // sums over all steps and rows, from zero
    float *deter_bias, *stoch_bias, *core_bias, *posterior_bias, *gates_bias, *out_bias;
};

namespace {

void round_row(const float* from, int count, uint16_t* to) {
    for (int i = 0; i < count; i += kLanes) store_bfloat16(to + i, 0xFFFF, _mm512_loadu_ps(from + i));
}

void add_row(const float* from, int count, float* to) {
    for (int i = 0; i < count; i += kLanes)
        _mm512_storeu_ps(to + i, _mm512_add_ps(_mm512_loadu_ps(to + i), _mm512_loadu_ps(from + i)));
}

// As `gate`, for h in float32; keeps the gates with their bias in `sums`.
void gate_finely(float* sums, const float* bias, int width, float* h) {
    add_row(bias, 3 * width, sums);
    for (int i = 0; i < width; i += kLanes) {
        const auto gate_of = [&](int which) { return _mm512_loadu_ps(sums + which * width + i); };
        _mm512_storeu_ps(h + i, gated(gate_of(0), gate_of(1), gate_of(2), _mm512_loadu_ps(h + i)));
    }
}

// From the gradient of a new h to those of its gates, in `pulled`, and of the old h, in `gradient`.
void pull_gate(const float* gates, int width, const uint16_t* old_h, float* gradient, float* pulled) {
    for (int i = 0; i < width; i += kLanes) {
        const __m512 reset = sigmoid(_mm512_loadu_ps(gates + i)), candidate = _mm512_loadu_ps(gates + width + i);
        const __m512 u = sigmoid(_mm512_sub_ps(_mm512_loadu_ps(gates + 2 * width + i), set(1.0f)));
        const __m512 bent = tanh(_mm512_mul_ps(reset, candidate)), g = _mm512_loadu_ps(gradient + i), one = set(1.0f);
        const __m512 g_update = _mm512_mul_ps(_mm512_mul_ps(g, _mm512_sub_ps(bent, wide(old_h + i))),
                                              _mm512_mul_ps(u, _mm512_sub_ps(one, u)));
        const __m512 g_bent = _mm512_mul_ps(_mm512_mul_ps(g, u), _mm512_fnmadd_ps(bent, bent, one));
        const __m512 g_reset = _mm512_mul_ps(_mm512_mul_ps(g_bent, candidate),
                                             _mm512_mul_ps(reset, _mm512_sub_ps(one, reset)));
        _mm512_storeu_ps(pulled + i, g_reset);
        _mm512_storeu_ps(pulled + width + i, _mm512_mul_ps(g_bent, reset));
        _mm512_storeu_ps(pulled + 2 * width + i, g_update);
        _mm512_storeu_ps(gradient + i, _mm512_mul_ps(g, _mm512_sub_ps(one, u)));
    }
}

// From the gradient of silu(gain y / root(mean y² + 1e-4)) to that of y = `sums`, in place; sums up those of gain and bias.
void pull_normed_row(const float* sums, int width, const float* gain, float* gradient, float* gain_sum, float* bias_sum) {
    __m512 squares = _mm512_setzero_ps();
    for (int i = 0; i < width; i += kLanes) {
        const __m512 y = _mm512_loadu_ps(sums + i);
        squares = _mm512_fmadd_ps(y, y, squares);
    }
    const __m512 mean = set(_mm512_reduce_add_ps(squares) / width + 1e-4f), one = set(1.0f);
    const __m512 scale = _mm512_div_ps(one, _mm512_sqrt_ps(mean));
    __m512 along = _mm512_setzero_ps();
    for (int i = 0; i < width; i += kLanes) {
        const __m512 y = _mm512_loadu_ps(sums + i), w = _mm512_loadu_ps(gain + i), normed = _mm512_mul_ps(y, scale);
        const __m512 t = _mm512_mul_ps(w, normed), s = sigmoid(t);
        const __m512 slope = _mm512_mul_ps(s, _mm512_fmadd_ps(t, _mm512_sub_ps(one, s), one));
        const __m512 g = _mm512_mul_ps(_mm512_loadu_ps(gradient + i), slope), q = _mm512_mul_ps(g, w);
        _mm512_storeu_ps(gain_sum + i, _mm512_fmadd_ps(g, normed, _mm512_loadu_ps(gain_sum + i)));
        _mm512_storeu_ps(gradient + i, q);
        along = _mm512_fmadd_ps(q, normed, along);
    }
    const __m512 share = set(_mm512_reduce_add_ps(along) / width);
    for (int i = 0; i < width; i += kLanes) {
        const __m512 normed = _mm512_mul_ps(_mm512_loadu_ps(sums + i), scale), q = _mm512_loadu_ps(gradient + i);
        _mm512_storeu_ps(gradient + i, _mm512_mul_ps(scale, _mm512_fnmadd_ps(normed, share, q)));
    }
    add_row(gradient, width, bias_sum);
}

// From the gradient of p = (1 - m) s + m / classes, s = softmax(logits), to that of the logits, in place.
void pull_probabilities(const Network& net, const float* probabilities, float* gradient) {
    const float least = net.unimix / net.classes, share = 1.0f - net.unimix;
    for (int l = 0; l < net.latents; ++l, probabilities += net.classes, gradient += net.classes) {
        float along = 0.0f;
        for (int c = 0; c < net.classes; ++c) along += gradient[c] * (probabilities[c] - least);
        along /= share;
        for (int c = 0; c < net.classes; ++c) gradient[c] = (gradient[c] - along) * (probabilities[c] - least);
    }
}

}  // namespace

// Observe sequences of `steps` steps; the first of `deter` and `stoch` is given. Numbers are float32 but on the tape.
//
//   keep           (steps, rows), 0 where an episode begins
//   drive          (steps, rows, deter), what actions add to the core's input
//   evidence       (steps, rows, hidden), what observations add to the posterior's hidden layer
//   noise          (steps, rows, latents), uniform in 0..1
//   deter          (steps + 1, rows, deter)
//   stoch          (steps + 1, rows, latents * classes)
//   probabilities  (steps, rows, latents * classes) of the posterior
extern "C" void observe(const Network* network, int steps, int rows, const float* keep, const float* drive,
                        const float* evidence, const float* noise, float* deter, float* stoch, float* probabilities,
                        const Tape* tape) {
    const Network& net = *network;
    const MatrixTiles tiles;
    Scratch scratch(net);
    const int width = net.latents * net.classes, hidden = scratch.hidden, features = scratch.features;
    const int own = net.deter / net.blocks, pitch = net.deter + kDepth;
    // Step by step: what is computed of rows up to a whole matrix tile spoils only what comes later.
    for (int step = 0; step < steps; ++step)
        for (int begin = 0; begin < rows; begin += kBlock) {
            const int count = std::min(kBlock, rows - begin);
            const size_t place = static_cast<size_t>(step) * rows + begin, next = place + rows;
            uint16_t *now = scratch.now.data(), *seen = scratch.inner[0].data(), *x = scratch.inner[1].data();
            float *h = deter + next * net.deter, *sums = tape->core_in + place * net.deter;
            for (int r = 0; r < count; ++r) {
                const bool kept = keep[place + r] > 0.0f;
                float* own_h = h + static_cast<size_t>(r) * net.deter;
                uint16_t* row = now + r * features;
                if (kept) {
                    std::memcpy(own_h, deter + (place + r) * net.deter, net.deter * sizeof *h);
                    round_row(stoch + (place + r) * width, width, row + net.deter);
                } else {
                    std::memset(own_h, 0, net.deter * sizeof *h);
                    std::memset(row + net.deter, 0, width * sizeof *row);
                }
                round_row(own_h, net.deter, row);
            }
            std::memcpy(tape->before + place * features, now, static_cast<size_t>(count) * features * sizeof *now);
            hidden_layer(now, features, count, net.deter_in, scratch, seen, 2 * hidden, tiles,
                         tape->deter_in + place * hidden);
            hidden_layer(now + net.deter, features, count, net.stoch_in, scratch, seen + hidden, 2 * hidden, tiles,
                         tape->stoch_in + place * hidden);
            std::memcpy(tape->seen + place * 2 * hidden, seen, static_cast<size_t>(count) * 2 * hidden * sizeof *seen);
            multiply(seen, 2 * hidden, count, net.core_recurrent, sums, net.deter, false, tiles);
            for (int g = 0; g < net.blocks; ++g)
                multiply(now + g * own, features, count, net.core_own[g], sums + g * own, net.deter, true, tiles);
            for (int r = 0; r < count; ++r) {
                normed_row(sums + r * net.deter, net.deter, net.core_recurrent.bias, drive + (place + r) * net.deter,
                           net.core_recurrent.gain, x + r * pitch);
                std::memcpy(tape->core + (place + r) * net.deter, x + r * pitch, net.deter * sizeof *x);
            }
            close_rows(x, count, net.deter);
            for (int g = 0; g < net.blocks; ++g) {
                float* gates = tape->gates + place * 3 * net.deter + g * 3 * own;
                multiply(x + g * own, pitch, count, net.gates[g], gates, 3 * net.deter, false, tiles);
                for (int r = 0; r < count; ++r)
                    gate_finely(gates + r * 3 * net.deter, net.gates[g].bias, own, h + r * net.deter + g * own);
            }
            for (int r = 0; r < count; ++r) round_row(h + r * net.deter, net.deter, now + r * features);
            uint16_t* inner = tape->inner + place * hidden;
            float *before = tape->posterior_in + place * hidden, *logits = scratch.sums.data();
            multiply(now, features, count, net.posterior_in, before, hidden, false, tiles);
            for (int r = 0; r < count; ++r)
                normed_row(before + r * hidden, hidden, net.posterior_in.bias, evidence + (place + r) * hidden,
                           net.posterior_in.gain, inner + r * hidden);
            multiply(inner, hidden, count, net.posterior_out, logits, width, false, tiles);
            for (int r = 0; r < count; ++r) {
                uint16_t* z = now + r * features + net.deter;
                draw(net, logits + r * width, net.posterior_out.bias, noise + (place + r) * net.latents, z,
                     probabilities + (place + r) * width);
                for (int i = 0; i < width; i += kLanes) _mm512_storeu_ps(stoch + (next + r) * width + i, wide(z + i));
            }
        }
}

// The gradient of what `observe` gave, from the last step to the first.
//
//   keep, probabilities, tape  of `observe`
//   deter, stoch, direct       (steps, rows, ...) gradients of the states after each step and of the probabilities
extern "C" void pull_back(const Network* network, int steps, int rows, const float* keep, const float* probabilities,
                          const float* deter, const float* stoch, const float* direct, const Tape* tape,
                          const Pulled* pulled) {
    const Network& net = *network;
    const MatrixTiles tiles;
    const int width = net.latents * net.classes, hidden = net.deter_in.outputs, features = net.deter + width;
    const int own = net.deter / net.blocks, pitch = net.deter + kDepth, gates_pitch = 3 * net.deter + kDepth;
    std::vector<float> carried_h(kBlock * net.deter), carried_z(kBlock * width), buffer(kBlock * 3 * net.deter);
    std::vector<float> seen(kBlock * 2 * hidden), part(kBlock * std::max(width, hidden));
    std::vector<uint16_t> rounded(kBlock * gates_pitch + kSlack), small(kBlock * std::max(width, hidden) + kSlack);
    for (int begin = 0; begin < rows; begin += kBlock) {
        const int count = std::min(kBlock, rows - begin);
        std::fill(carried_h.begin(), carried_h.end(), 0.0f);
        std::fill(carried_z.begin(), carried_z.end(), 0.0f);
        for (int step = steps - 1; step >= 0; --step) {
            const size_t place = static_cast<size_t>(step) * rows + begin;
            float *h = carried_h.data(), *z = carried_z.data();
            for (int r = 0; r < count; ++r) {
                add_row(deter + (place + r) * net.deter, net.deter, h + r * net.deter);
                // z is p in its gradient.
                add_row(stoch + (place + r) * width, width, z + r * width);
                add_row(direct + (place + r) * width, width, z + r * width);
                pull_probabilities(net, probabilities + (place + r) * width, z + r * width);
                add_row(z + r * width, width, pulled->out_bias);
                round_row(z + r * width, width, small.data() + r * width);
            }
            std::memcpy(pulled->posterior_out + place * width, small.data(), count * width * sizeof(uint16_t));
            multiply(small.data(), width, count, net.posterior_out_back, part.data(), hidden, false, tiles);
            for (int r = 0; r < count; ++r) {
                float* g = part.data() + r * hidden;
                pull_normed_row(tape->posterior_in + (place + r) * hidden, hidden, net.posterior_in.gain, g,
                                pulled->posterior_gain, pulled->posterior_bias);
                std::memcpy(pulled->evidence + (place + r) * hidden, g, hidden * sizeof *g);
                round_row(g, hidden, small.data() + r * hidden);
            }
            std::memcpy(pulled->posterior_in + place * hidden, small.data(), count * hidden * sizeof(uint16_t));
            multiply(small.data(), hidden, count, net.posterior_in_back, h, net.deter, true, tiles);
            for (int r = 0; r < count; ++r) {
                float* g = buffer.data() + r * 3 * net.deter;
                const uint16_t* old = tape->before + (place + r) * features;
                for (int b = 0; b < net.blocks; ++b)
                    pull_gate(tape->gates + (place + r) * 3 * net.deter + b * 3 * own, own, old + b * own,
                              h + r * net.deter + b * own, g + b * 3 * own);
                add_row(g, 3 * net.deter, pulled->gates_bias);
                round_row(g, 3 * net.deter, rounded.data() + r * gates_pitch);
                std::memcpy(pulled->gates + (place + r) * 3 * net.deter, rounded.data() + r * gates_pitch,
                            3 * net.deter * sizeof(uint16_t));
            }
            close_rows(rounded.data(), count, 3 * net.deter);
            for (int b = 0; b < net.blocks; ++b)
                multiply(rounded.data() + b * 3 * own, gates_pitch, count, net.gates_back[b], buffer.data() + b * own,
                         net.deter, false, tiles);
            for (int r = 0; r < count; ++r) {
                float* g = buffer.data() + r * net.deter;
                pull_normed_row(tape->core_in + (place + r) * net.deter, net.deter, net.core_recurrent.gain, g,
                                pulled->core_gain, pulled->core_bias);
                std::memcpy(pulled->drive + (place + r) * net.deter, g, net.deter * sizeof *g);
                round_row(g, net.deter, rounded.data() + r * pitch);
                std::memcpy(pulled->core_in + (place + r) * net.deter, rounded.data() + r * pitch,
                            net.deter * sizeof(uint16_t));
            }
            close_rows(rounded.data(), count, net.deter);
            for (int b = 0; b < net.blocks; ++b)
                multiply(rounded.data() + b * own, pitch, count, net.own_back[b], h + b * own, net.deter, true, tiles);
            multiply(rounded.data(), pitch, count, net.recurrent_back, seen.data(), 2 * hidden, false, tiles);
            const auto pull_inputs = [&](int first, const float* sums, const Dense& dense, const Dense& back, float* gain,
                                         float* bias, uint16_t* kept, float* out, int out_pitch, bool add) {
                for (int r = 0; r < count; ++r) {
                    float* g = seen.data() + r * 2 * hidden + first;
                    pull_normed_row(sums + (place + r) * hidden, hidden, dense.gain, g, gain, bias);
                    round_row(g, hidden, small.data() + r * hidden);
                }
                std::memcpy(kept + place * hidden, small.data(), count * hidden * sizeof *kept);
                multiply(small.data(), hidden, count, back, out, out_pitch, add, tiles);
            };
            pull_inputs(0, tape->deter_in, net.deter_in, net.deter_back, pulled->deter_gain, pulled->deter_bias,
                        pulled->deter_in, h, net.deter, true);
            pull_inputs(hidden, tape->stoch_in, net.stoch_in, net.stoch_back, pulled->stoch_gain, pulled->stoch_bias,
                        pulled->stoch_in, z, width, false);
            for (int r = 0; r < count; ++r)
                if (!(keep[place + r] > 0.0f)) {
                    std::memset(h + r * net.deter, 0, net.deter * sizeof *h);
                    std::memset(z + r * width, 0, width * sizeof *z);
                }
        }
    }
}
