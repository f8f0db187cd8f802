/* sines.c - sinusoidal positions, the same bits everywhere: no function of libm. */
#include "converter/sines.h"

enum { FIRST_POSITION = 2 };

#define LN_10000   9.210340371976182736
#define ONE_OVER_E 0.36787944117144232160
/* pi / 2 in three parts; the first two times a number below 2^24 are exact. */
#define HALF_PI_1   0x1.921fb4p+0
#define HALF_PI_2   0x1.4442dp-24
#define HALF_PI_3   0x1.8469898cc5170p-48
#define TWO_OVER_PI 0.63661977236758134308

/* e^-x for 0 <= x < 64. */
static double exp_minus(double x) {
    enum { TERMS = 20 };
    const int whole = (int)x;
    const double rest = x - whole;
    double sum = 1.0;

    for (int i = TERMS; i > 0; i--) {
        sum = 1.0 - sum * (rest / i);
    }
    for (int i = 0; i < whole; i++) {
        sum *= ONE_OVER_E;
    }
    return sum;
}

/* Taylor series, for |x| <= pi / 4. */
static double small_sine(double x) {
    const double y = x * x;
    double sum = 1.0;

    for (int i = 18; i >= 2; i -= 2) {
        sum = 1.0 - sum * (y / (i * (i + 1)));
    }
    return x * sum;
}

static double small_cosine(double x) {
    const double y = x * x;
    double sum = 1.0;

    for (int i = 19; i >= 1; i -= 2) {
        sum = 1.0 - sum * (y / (i * (i + 1)));
    }
    return sum;
}

/* sin(x + quarters pi / 2) for 0 <= x < 2^24. */
static double sine(double x, int64_t quarters) {
    const int64_t turns = (int64_t)(x * TWO_OVER_PI + 0.5);
    const double n = (double)turns;
    const double rest = ((x - n * HALF_PI_1) - n * HALF_PI_2) - n * HALF_PI_3;

    switch ((turns + quarters) & 3) {
    case 0:
        return small_sine(rest);
    case 1:
        return small_cosine(rest);
    case 2:
        return -small_sine(rest);
    default:
        return -small_cosine(rest);
    }
}

void eet_sines_row(uint64_t index, uint64_t width, float *out) {
    const uint64_t half = width / 2;
    const float position = (float)(index + FIRST_POSITION);

    for (uint64_t j = 0; j < half; j++) {
        const double power = half > 1 ? LN_10000 / (double)(half - 1) * (double)j : 0.0;
        const float frequency = (float)exp_minus(power);
        const float angle = position * frequency;

        out[j] = (float)sine((double)angle, 0);
        out[half + j] = (float)sine((double)angle, 1);
    }
    if (width % 2 == 1) {
        out[width - 1] = 0.0F;
    }
}
