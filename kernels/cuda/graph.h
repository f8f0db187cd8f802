/* graph.h - recording what ops do, see eet_backend_api. */
#ifndef EET_KERNELS_CUDA_GRAPH_H
#define EET_KERNELS_CUDA_GRAPH_H

#include "kernels/cuda/cuda.h"

eet_status eet_graph_begin(eet_backend *backend);
eet_status eet_graph_end(eet_backend *backend, void **out);
eet_status eet_graph_launch(eet_backend *backend, void *graph);
void eet_graph_free(eet_backend *backend, void *graph);

#endif
