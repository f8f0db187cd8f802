/* trial_device.h - a trial of project on a CUDA device, and what comes back of it. */
#ifndef EET_TESTS_CUDA_TRIAL_DEVICE_H
#define EET_TESTS_CUDA_TRIAL_DEVICE_H

#include "tests/cuda/device.h"
#include "tests/kernels/trial_project.h"

/* The same arguments with every pointer on the device. */
static inline eet_project_args project_up(const trial *t, const project_case *c) {
    eet_project_args a = t->args[1];
    const int64_t rows = c->rows;

    a.x = device_up(a.x, rows * c->k * 4);
    a.norm = device_norm(a.norm, c->k);
    a.bias = device_up(a.bias, a.w.n * (int64_t)4);
    a.residual_norm = device_norm(a.residual_norm, a.w.n);
    a.y = device_up(a.y, t->y_count * 4);
    a.residual = c->residual == ALIASED ? a.y : device_up(a.residual, rows * a.w.n * 4);
    a.pages = device_pages(a.pages);
    a.slot = device_up(a.slot, rows * 8);
    a.scratch = device_up(a.scratch, eet_project_scratch(rows, c->k) * 4);
    a.w = device_matrix(a.w);
    return a;
}

/* Runs both, and holds the device's outputs to the reference's, and to their places. */
static inline void expect_project(trial *t, const project_case *c, const eet_project_args *got) {
    const int64_t outputs = (int64_t)c->rows * columns_of(c) - t->y_count;

    ck_assert_int_eq(eet_project_ref(NULL, &t->args[0]), EET_OK);
    ON_DEVICE(project, got);
    device_down(t->args[1].y, got->y, t->y_count * eet_activation_bytes(got->y_dtype));
    if (c->to != EET_TO_Y) {
        device_down(t->args[1].pages.data, got->pages.data, pages_bytes(&got->pages));
    }
    compare(t, c);
    ck_assert_int_ge(untouched(t, c), c->to != EET_TO_Y ? t->page_count - outputs : 0);
}

#endif
