/* sines.h - sinusoidal positions as Fairseq computes them. */
#ifndef EET_CONVERTER_SINES_H
#define EET_CONVERTER_SINES_H

#include <stdint.h>

/* What the index-th token adds: position p = index + 2 (behind the row of padding, 1) gives
 * sin(p f_j) for each j < half = width / 2, then cos(p f_j), then a zero where the width is odd;
 * f_j = 10000^(-j / (half - 1)). Frequencies and products are rounded to float, as Fairseq does;
 * everything else is in double by arithmetic of our own, so that every machine gives these bits. */
void eet_sines_row(uint64_t index, uint64_t width, float *out);

#endif
