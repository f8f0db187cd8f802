/* block.h - a model as the composer and a backend see it: PODs only. */
#ifndef EET_KERNELS_BLOCK_H
#define EET_KERNELS_BLOCK_H

#include "kernels/kernels.h"

typedef struct eet_linear {
    eet_matrix w;      /* data NULL: absent */
    const float *bias; /* NULL: none */
} eet_linear;

typedef struct eet_layer_weights {
    eet_norm_weights attn_norm, cross_norm, ffn_norm;
    eet_linear qkv, attn_out, cross_q, cross_kv, cross_out, fc1, fc2;
} eet_layer_weights;

typedef struct eet_stack {
    int32_t layers, heads, head_dim, hidden, ffn, act;
    bool pre_norm, causal, inv_layer_scale, pos_skip_pad;
    double attn_scale, emb_scale;
    int32_t emb_dim, pos_rows, types, type_default, vocab_size, vocab_rows;
    int32_t tok_pad;
    int32_t stream, inner;            /* dtypes of activations between blocks and within; 0 = f32 */
    eet_matrix token, position, type; /* tables: n rows of k */
    eet_linear proj_in;
    eet_norm_weights emb_norm, final_norm; /* weight NULL: none */
    const eet_layer_weights *layer;        /* (layers) */
} eet_stack;

typedef struct eet_head {
    int32_t take, act; /* eet_take, eet_act */
    bool normalize, skip_pad;
    int32_t width;         /* of its output */
    eet_linear dense, out; /* w.data NULL: absent */
    eet_norm_weights norm;
} eet_head;

#endif
