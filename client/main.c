/* netqctl: the command line of netq. */
#include "client/client.h"

int main(int argc, char **argv)
{
    return nq_client_main(argc, argv);
}
