/* advance.h - where rows end and how they go on: one row's part of the op, the same on the host
 * and on a device. */
#ifndef EET_KERNELS_ADVANCE_H
#define EET_KERNELS_ADVANCE_H

#include "kernels/kernels.h"

/* What a chosen token does to its row, which may choose `left` more. */
EET_BOTH static inline int32_t eet_ending_of(int32_t token, int32_t eos, const int32_t *stop,
                                             int32_t stops, int32_t left) {
    if (token == eos) {
        return EET_ENDS_EOS;
    }
    for (int32_t i = 0; i < stops; ++i) {
        if (token == stop[i]) {
            return EET_ENDS_STOP;
        }
    }
    return left > 0 ? EET_GOES_ON : EET_ENDS_LENGTH;
}

/* How many ids a row cannot choose that has chosen `count` tokens. */
EET_BOTH static inline int32_t eet_barred_after(int32_t count, int32_t least, int32_t bars) {
    return count < least ? bars : 0;
}

/* The next step feeds a token of nobody. */
EET_BOTH static inline void eet_advance_to_nobody(const eet_advance_args *a, int32_t row) {
    a->going[row].length = 0;
    a->ids[row] = 0;
    a->positions[row] = 0;
    a->kv_length[row] = 0;
    a->slot[row] = a->nowhere;
}

/* The next step feeds this token, behind the row's keys. */
EET_BOTH static inline void eet_advance_to_token(const eet_advance_args *a, int32_t row,
                                                 int32_t token) {
    eet_going *going = &a->going[row];
    const bool placed = token != a->rules->pad;
    const int32_t place = going->length;
    const int64_t page = a->page_table[(int64_t)row * a->table_stride + place / EET_PAGE_TOKENS];

    a->ids[row] = token;
    a->positions[row] = placed ? going->counted : -1;
    a->slot[row] = page * EET_PAGE_TOKENS + place % EET_PAGE_TOKENS;
    a->kv_length[row] = place + 1;
    going->counted += placed ? 1 : 0;
    going->length = place + 1;
    if (a->history != NULL) {
        a->history[row * a->history_stride + place] = token;
    }
    if (a->sampler != NULL) {
        a->sampler[row].position = going->length;
        a->sampler[row].history = going->length;
        a->sampler[row].barred = eet_barred_after(going->count, a->rules->least, a->rules->bars);
    }
}

/* What the row's step came to; of a row that had ended it means nothing. */
EET_BOTH static inline eet_chosen eet_advance_row(const eet_advance_args *a, int32_t row) {
    const eet_going_rules *rules = a->rules;
    eet_going *going = &a->going[row];
    eet_chosen chosen = {a->token[row], EET_GOES_ON, a->log_prob[row], 0};

    if (going->length == 0) {
        return chosen;
    }
    going->count += 1;
    going->left -= 1;
    chosen.ending = eet_ending_of(chosen.token, rules->eos, a->bar, rules->stops, going->left);
    if (chosen.ending == EET_GOES_ON) {
        eet_advance_to_token(a, row, chosen.token);
    } else {
        eet_advance_to_nobody(a, row);
    }
    return chosen;
}

/* Does nobody wait for these rows any more? The host's word may come at any time; who wrote it
 * looks at no further step, so that what this one came to is as good as it would be without. */
EET_BOTH static inline bool eet_advance_is_cancelled(const eet_advance_args *a) {
#ifdef __CUDA_ARCH__
    return *(const volatile uint64_t *)a->cancelled == a->rules->turn;
#else
    return __atomic_load_n(a->cancelled, __ATOMIC_RELAXED) == a->rules->turn;
#endif
}

/* Where the step's end goes. */
EET_BOTH static inline eet_step_end *eet_advance_end(const eet_advance_args *a) {
    return a->ring + a->rules->steps % (uint64_t)a->slots;
}

#endif
