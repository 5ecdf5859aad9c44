/* Holds a pod's namespaces open, and does nothing else: waits to be told to end. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_signal(int number)
{
    if (number == SIGCHLD)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    else
        _exit(0);
}

int main(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGCHLD, on_signal);
    for (;;)
        pause();
}
