// What the kernels share: registers of float32 and bfloat16, a few functions of them, and the processor's matrix tiles.

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#ifdef __AMX_BF16__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr int kLanes = 16;  // columns in a register
constexpr int kEven = 16;   // rows of a matrix tile
#ifdef __AMX_BF16__
constexpr int kDepth = 32;  // inputs that one product of matrix tiles takes
constexpr int kLeast = 8;   // fewer rows than that are faster without matrix tiles
#else
constexpr int kDepth = 2;
#endif

inline __m512 set(float value) { return _mm512_set1_ps(value); }

// 2^t as 2^n p(f) with |f| <= 1/2; p is the Taylor series, to a relative error of 3e-4 or, `Fine`, 3e-6.
template <bool Fine>
inline __m512 exp2(__m512 t) {
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(t, n);
    __m512 p = set(0.0555041f);
    if constexpr (Fine) p = _mm512_fmadd_ps(f, _mm512_fmadd_ps(f, set(0.00133336f), set(0.00961813f)), p);
    p = _mm512_fmadd_ps(f, p, set(0.2402265f));
    p = _mm512_fmadd_ps(f, p, set(0.6931472f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(f, p, set(1.0f)), n);
}

// x / (1 + exp(-x)), finer than the 4e-3 that bfloat16 tells apart.
inline __m512 silu(__m512 x) {
    const __m512 e = exp2<false>(_mm512_mul_ps(x, set(-1.44269504f)));
    return _mm512_mul_ps(x, _mm512_rcp14_ps(_mm512_add_ps(e, set(1.0f))));
}

inline __mmask16 first_lanes(int count) {
    return static_cast<__mmask16>(count >= kLanes ? 0xFFFF : (1 << count) - 1);
}

inline void store_bfloat16(uint16_t* address, __mmask16 lanes, __m512 value) {
    _mm256_mask_storeu_epi16(address, lanes, (__m256i)_mm512_cvtneps_pbh(value));
}

inline __m512bh pair(const uint16_t* address) {
    int32_t both;
    std::memcpy(&both, address, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

#ifdef __AMX_BF16__
// Has everything in memory that was stored so far. Compilers need not know that tile instructions read it: GCC's say so
// of the first bytes only, or not at all.
inline void keep_stores() { asm volatile("" ::: "memory"); }
#endif

// The processor's matrix tiles, of 16 rows of 64 bytes, as long as this lives.
class MatrixTiles {
public:
#ifdef __AMX_BF16__
    MatrixTiles() : there(may_use()) {
        if (!there) return;
        alignas(64) uint8_t shapes[64] = {1};
        for (int tile = 0; tile < 8; ++tile) shapes[16 + 2 * tile] = 64, shapes[48 + tile] = kEven;
        keep_stores();
        _tile_loadconfig(shapes);
    }
    ~MatrixTiles() {
        if (there) _tile_release();
    }
    // Linux wants to be asked, once in a process.
    static bool may_use() {
        constexpr int kAskForFeature = 0x1023, kTileData = 18;
        static const bool allowed = syscall(SYS_arch_prctl, kAskForFeature, kTileData) == 0;
        return allowed;
    }
    const bool there;
#else
    static bool may_use() { return false; }
    const bool there = false;
#endif
};

}  // namespace

// What a layer's inputs must be padded to a multiple of, and whether matrix tiles multiply them.
extern "C" int input_multiple() { return kDepth; }
extern "C" int uses_matrix_tiles() { return MatrixTiles::may_use(); }
