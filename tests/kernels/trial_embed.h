/* trial_embed.h - a case of embed with its operands. */
#ifndef EET_TESTS_KERNELS_TRIAL_EMBED_H
#define EET_TESTS_KERNELS_TRIAL_EMBED_H

#include "tests/kernels/lab.h"

enum { EMBED_TOKENS = 77, EMBED_DIM = 19, EMBED_HIDDEN = 45, EMBED_TABLE = 11 };

/* All mixes of tables: bit 0 positions (some -1), 1 types (some -1), 2 a projection. */
static inline eet_embed_args embed_args_of(int32_t kind) {
    const bool projected = (kind & 4) != 0;
    const int32_t dtype = EET_F32 + kind / 8 % 3;
    const int32_t dim = projected ? EMBED_DIM : EMBED_HIDDEN;
    int32_t *positions = lab_ints(EMBED_TOKENS, EMBED_TABLE + 1);
    int32_t *types = lab_ints(EMBED_TOKENS, 3);

    for (int32_t t = 0; t < EMBED_TOKENS; ++t) {
        positions[t] -= 1;
        types[t] -= 1;
    }
    return (eet_embed_args){
        .token = lab_array(EMBED_TABLE * dim, dtype, LAB_PLAIN),
        .position =
            (kind & 1) != 0 ? lab_array(EMBED_TABLE * EMBED_HIDDEN, EET_F32, LAB_PLAIN) : NULL,
        .type = (kind & 2) != 0 ? lab_array(2 * EMBED_HIDDEN, EET_BF16, LAB_PLAIN) : NULL,
        .token_dtype = dtype,
        .position_dtype = EET_F32,
        .type_dtype = EET_BF16,
        .ids = lab_ints(EMBED_TOKENS, EMBED_TABLE),
        .positions = positions,
        .types = types,
        .scale = 3.7,
        .tokens = EMBED_TOKENS,
        .dim = dim,
        .hidden = EMBED_HIDDEN,
        .proj_in =
            projected ? lab_matrix(EMBED_HIDDEN, EMBED_DIM, 0, dtype, LAB_PLAIN) : (eet_matrix){0},
        .proj_in_bias = projected ? lab_floats(EMBED_HIDDEN, LAB_PLAIN) : NULL,
        .x = lab_block(EMBED_TOKENS * EMBED_HIDDEN * 4),
        .scratch = projected ? lab_block(EMBED_TOKENS * EMBED_DIM * 4) : NULL,
    };
}

#endif
