/* fairseq_tasks.c - the tasks of Fairseq that add words to their dictionary. */
#include <stddef.h>

#include "converter/fairseq.h"

#define BEHIND(task) \
    { .name = (task), .mask = EET_MASK_LAST }

const eet_fairseq_task eet_fairseq_tasks[] = {
    {.name = "legacy_masked_lm", .words = {"<mask>", "<cls>", "<sep>", NULL}},
    {.name = "cross_lingual_lm", .words = {"<mask>", NULL}},
    {.name = "multilingual_denoising",
     .mask = EET_MASK_LAST,
     .languages = EET_LANG_TOLD,
     .style = EET_STYLE_MBART,
     .begin = EET_BEGIN_LANGUAGE},
    {.name = "translation_from_pretrained_bart",
     .mask = EET_MASK_LAST,
     .languages = EET_LANG_ALWAYS,
     .style = EET_STYLE_MBART,
     .begin = EET_BEGIN_LANGUAGE},
    {.name = "translation_multi_simple_epoch",
     .mask = EET_MASK_STYLED,
     .languages = EET_LANG_ALWAYS,
     .style = EET_STYLE_TOLD,
     .begin = EET_BEGIN_TOLD},
    {.name = "online_backtranslation",
     .mask = EET_MASK_FIRST,
     .languages = EET_LANG_ALWAYS,
     .style = EET_STYLE_MULTILINGUAL,
     .begin = EET_BEGIN_CHOSEN},
    {.name = "multilingual_language_modeling", .languages = EET_LANG_TOLD, .style = EET_STYLE_TAG},
    {.name = "translation_moe", .begin = EET_BEGIN_CHOSEN}, /* words of experts */
    BEHIND("masked_lm"),
    BEHIND("denoising"),
    BEHIND("multilingual_masked_lm"),
    BEHIND("sentence_prediction"),
    BEHIND("sentence_prediction_adapters"),
    BEHIND("sentence_ranking"),
    BEHIND("commonsense_qa"),
    {0},
};
