#define NAME nq_normals_avx512
#include "common/random_normals_template.h"
