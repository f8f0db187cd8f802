/* sample_model.h - small models with made-up weights: .eet files for tests, the same at
 * every run. The caller changes what it needs (facts, heads) before it writes.
 *
 *   eet_sample_model model = eet_sample_decoder();
 *   model.facts.stack[EET_DEC].layers = 3;
 *   eet_sample_write(path, &model);
 *
 * Whatever goes wrong here fails the test. */
#ifndef EET_TESTS_SUPPORT_SAMPLE_MODEL_H
#define EET_TESTS_SUPPORT_SAMPLE_MODEL_H

#include "format/facts.h"
#include "format/writer.h"

/* The parts of head number i: [dense] [norm] [out]. */
typedef struct eet_sample_head {
    int32_t dense; /* its outputs; 0: no dense */
    bool norm;
    int32_t out; /* its outputs; 0: no out */
    bool tied;   /* out is an alias of the stack's emb.tok */
} eet_sample_head;

typedef struct eet_sample_model {
    eet_facts facts;
    eet_sample_head head[EET_MAX_HEADS];
    uint64_t seed;
    int32_t dtype;      /* of all tensors; EET_F32 in what the makers give */
    bool no_bias;       /* leave out every optional bias */
    bool type_is_token; /* dec.emb.type is an alias of dec.emb.tok (GPT-2) */
    bool shared;        /* dec.emb.tok is an alias of enc.emb.tok */
} eet_sample_model;

/* GPT-2's facts: dec alone, pre-norm, head "lm" tied to emb.tok. 2 layers, 2 heads of 8,
 * hidden 16, vocabulary 40, 32 positions. */
eet_sample_model eet_sample_decoder(void);
/* BERT's: enc alone, post-norm, heads "mlm" (tied) and "pooler". */
eet_sample_model eet_sample_encoder(void);
/* A translation model: enc and dec share emb.tok, dec looks at enc (cross_dim 16). */
eet_sample_model eet_sample_encoder_decoder(void);

/* Element `index` of the tensor in a place, before rounding to the model's dtype. `inputs` is
 * the last dimension; weights have variance 1 / inputs, norms are near 1, biases near 0. */
float eet_sample_value(const eet_sample_model *model, uint16_t role, int32_t layer, uint64_t inputs,
                       uint64_t index);

/* Writes the model to `path`, replacing what is there. */
void eet_sample_write(const char *path, const eet_sample_model *model);

/* The parts of that, for tests of the writer: declares all into `writer` (facts, tensors, no
 * plan), and streams the tensors in chunks of `chunk` bytes after eet_writer_begin. */
void eet_sample_declare(eet_writer *writer, const eet_sample_model *model);
eet_status eet_sample_stream(eet_writer *writer, const eet_sample_model *model, uint64_t chunk,
                             eet_error *err);

#endif
