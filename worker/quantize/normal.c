#include "worker/quantize/normal.h"

#include <math.h>

#define FAR 8.5 /* beyond, both tails are below 1e-16 */

double nq_portable_exp(double x)
{
    double t = x / 64, sum = 1;
    for (int k = 14; k >= 1; k--)
        sum = 1 + t * sum / k;
    for (int i = 0; i < 6; i++)
        sum *= sum;
    return sum;
}

double nq_normal_density(double z)
{
    const double peak = 0.39894228040143267794; /* 1 / sqrt(2 pi) */
    return fabs(z) > FAR ? 0 : peak * nq_portable_exp(-z * z / 2);
}

/* Phi(z) = 1/2 + phi(z) (z + z^3 / 3 + z^5 / (3 5) + ...): Marsaglia, "Evaluating the normal
 * distribution", Journal of Statistical Software 11 (2004). */
double nq_normal_cdf(double z)
{
    if (fabs(z) > FAR)
        return z < 0 ? 0 : 1;
    double term = z, sum = z;
    for (int k = 3; sum + term != sum; k += 2) {
        term *= z * z / k;
        sum += term;
    }
    return 0.5 + sum * nq_normal_density(z);
}

double nq_normal_mean(nq_normal n)
{
    if (!n.clipped)
        return n.mean;
    if (!(n.sd > 0))
        return n.mean > 0 ? n.mean : 0;
    double z = n.mean / n.sd, mean = n.mean * nq_normal_cdf(z) + n.sd * nq_normal_density(z);
    return mean > 0 ? mean : 0;
}

double nq_normal_variance(nq_normal n)
{
    if (!n.clipped || !(n.sd > 0))
        return n.clipped && !(n.sd > 0) ? 0 : n.sd * n.sd;
    double z = n.mean / n.sd, mean = nq_normal_mean(n);
    double square =
        (n.mean * n.mean + n.sd * n.sd) * nq_normal_cdf(z) + n.mean * n.sd * nq_normal_density(z);
    double variance = square - mean * mean;
    return variance > 0 ? variance : 0;
}
