/* The commands' small front: hands argv, environment, umask, limits and the descriptors of its streams and working
 * directory to a warm host of the same user, forwards signals to the child that becomes the command, and ends as it ends.
 * Without a host it starts one for the next time and runs the command in this process. Protocol: child.py.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PYTHON
#error "PYTHON: the interpreter that has slurm_compat"
#endif
#ifndef BUILD
#error "BUILD: names the installation; a host serves one only"
#endif
#ifndef CLUSTER_FILE
#define CLUSTER_FILE ""
#endif

/* Never -m: that would import from the caller's working directory, which may be a stranger's, or /tmp. */
#define COLD \
    "import sys\n" \
    "if sys.path[:1] == ['']: del sys.path[0]\n" \
    "from slurm_compat.cli.main import main\n" \
    "main(sys.argv[1:])\n"

extern char **environ;

enum { MAGIC = 0x31435353, LIMITS = 16 };

struct head {
    uint32_t magic, body, fds, umask;
    int32_t pid, sid;
    uint32_t argc, envc;
    uint64_t limits[LIMITS][2];
};

static volatile sig_atomic_t child, last;

static void forward(int number)
{
    last = number;
    if (child > 0)
        kill(child, number);
}

static uint64_t groups_hash(void)
{
    gid_t list[NGROUPS_MAX];
    int count = getgroups(NGROUPS_MAX, list);
    uint64_t hash = 1469598103934665603ULL ^ getegid();
    for (int i = 0; i < count; i++)
        hash = (hash ^ list[i]) * 1099511628211ULL;
    return hash;
}

/* The host's address for this user, groups and mount and pid namespace; -1 when none may be trusted. */
static int host_path(char *path, size_t size)
{
    struct stat mnt, pid, dir;
    char folder[64];
    snprintf(folder, sizeof folder, "/tmp/slurm-compat-%u", (unsigned)geteuid());
    if (stat("/proc/self/ns/mnt", &mnt) || stat("/proc/self/ns/pid", &pid) || lstat(folder, &dir))
        return -1;
    if (!S_ISDIR(dir.st_mode) || dir.st_uid != geteuid() || (dir.st_mode & 077))
        return -1;
    snprintf(path, size, "%s/%s-%llx-%llx-%llx", folder, BUILD, (unsigned long long)mnt.st_ino,
             (unsigned long long)pid.st_ino, (unsigned long long)groups_hash());
    return 0;
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t size = sizeof peer;
    int sock;
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -1;
    /* only ourselves, or root (the agent of a job), may see our environment */
    if (connect(sock, (struct sockaddr *)&address, sizeof address) ||
        getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) || (peer.uid != geteuid() && peer.uid != 0)) {
        close(sock);
        return -1;
    }
    return sock;
}

static int send_all(int sock, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = send(sock, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        data += sent;
        size -= sent;
    }
    return 0;
}

static ssize_t receive(int sock, void *into, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t now = recv(sock, (char *)into + got, size - got, 0);
        if (now < 0 && errno == EINTR)
            continue;
        if (now <= 0)
            return -1;
        got += now;
    }
    return got;
}

static size_t block(char **list, uint32_t *count)
{
    size_t size = 0;
    for (*count = 0; list[*count]; ++*count)
        size += strlen(list[*count]) + 1;
    return size;
}

/* Which of 0, 1, 2 the caller left open. Asked first of all: a closed one's number goes to the next thing opened. */
static uint32_t open_streams(void)
{
    uint32_t which = 0;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            which |= 1u << fd;
    return which;
}

static int hand_over(int sock, uint32_t which, char **argv)
{
    struct head head = {.magic = MAGIC, .pid = getpid(), .sid = getsid(0)};
    int fds[4], used = 0, cwd;
    size_t args, vars, at = 0;
    char *body;
    mode_t mask = umask(0);
    umask(mask);
    head.umask = mask;
    for (int i = 0; i < LIMITS; i++) {
        struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
        getrlimit(i, &limit);
        head.limits[i][0] = limit.rlim_cur;
        head.limits[i][1] = limit.rlim_max;
    }
    head.fds = which;
    for (int fd = 0; fd < 3; fd++)
        if (which & 1u << fd)
            fds[used++] = fd;
    cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cwd >= 0) {
        fds[used++] = cwd;
        head.fds |= 8;
    }
    args = block(argv, &head.argc);
    vars = block(environ, &head.envc);
    head.body = args + vars;
    body = malloc(head.body + 1);
    if (!body)
        return -1;
    for (uint32_t i = 0; i < head.argc; i++)
        at = stpcpy(body + at, argv[i]) + 1 - body;
    for (uint32_t i = 0; i < head.envc; i++)
        at = stpcpy(body + at, environ[i]) + 1 - body;

    union { char space[CMSG_SPACE(sizeof fds)]; struct cmsghdr align; } control;
    struct iovec part = {&head, sizeof head};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (used) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(used * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(used * sizeof(int));
        memcpy(CMSG_DATA(c), fds, used * sizeof(int));
    }
    if (sendmsg(sock, &message, MSG_NOSIGNAL) != sizeof head || send_all(sock, body, head.body))
        return -1;
    return 0;
}

static void die_of(int number)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    _exit(128 + number);
}

/* Follow the child to its end. Returns only when no child was made. */
static void follow(int sock)
{
    static const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGALRM};
    struct sigaction action = {.sa_handler = forward}, before;
    int32_t word;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (!sigaction(passed[i], NULL, &before) && before.sa_handler != SIG_IGN)
            sigaction(passed[i], &action, NULL);
    if (receive(sock, &word, sizeof word) < 0 || word <= 0)
        return;
    child = word;
    if (last)
        kill(child, last);
    if (receive(sock, &word, sizeof word) < 0)
        die_of(last ? last : SIGKILL); /* it fell before it could say how: of what we passed on, or of a kill */
    if (word & 0x7f)
        die_of(word & 0x7f);
    _exit((word >> 8) & 0xff);
}

static void start_host(void)
{
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            int null = open("/dev/null", O_RDWR);
            dup2(null, 0), dup2(null, 1), dup2(null, 2);
            if (!chdir("/"))
                execl(PYTHON, PYTHON, "-m", "slurm_compat.launcher.host", BUILD, (char *)NULL);
        }
        _exit(0);
    }
    wait(NULL);
}

/* Words that name a descriptor beyond the streams, as `sbatch <(…)` and --export-file=9 do: this process alone has it. */
static int names_descriptor(char **argv)
{
    for (char **word = argv + 1; *word; word++)
        if (strstr(*word, "/dev/fd/") || strstr(*word, "/proc/self/fd/") || !strncmp(*word, "--export-file", 13))
            return 1;
    return 0;
}

int main(int argc, char **argv)
{
    char path[256], **copy;
    const char *name = strrchr(argv[0], '/'), *agent = getenv("_SLURM_COMPAT_HOST");
    uint32_t which = open_streams();
    int sock = -1, warm = getuid() == geteuid() && !getenv("SLURM_COMPAT_COLD") && !names_descriptor(argv);
    name = name ? name + 1 : argv[0];
    if (*CLUSTER_FILE)
        setenv("SLURM_CONF", CLUSTER_FILE, 0);
    /* salloc gives its terminal to a shell: that takes a process of the terminal's own session */
    if (warm && strcmp(name, "salloc")) {
        if (agent)
            sock = dial(agent);
        if (sock < 0) {
            if (host_path(path, sizeof path) == 0)
                sock = dial(path);
            if (sock < 0 && !agent)
                start_host();
        }
        if (sock >= 0) {
            if (!hand_over(sock, which, argv))
                follow(sock);
            close(sock);
        }
    }
    copy = calloc(argc + 4, sizeof *copy);
    copy[0] = PYTHON;
    copy[1] = "-c";
    copy[2] = COLD;
    memcpy(copy + 3, argv, argc * sizeof *copy);
    execv(PYTHON, copy);
    fprintf(stderr, "%s: error: %s: %s; run slurm-compat install-commands again\n", name, PYTHON, strerror(errno));
    return 1;
}
