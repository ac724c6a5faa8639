package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	postgresPackage = "postgresql"
	postgresBoot    = 60 * time.Second // under 2 s on a quiet machine
	postgresStop    = 30 * time.Second
)

// PostgresServer is a PostgreSQL server of one's own, with the superuser
// postgres, who needs no password. It does not sync its files to disk: what was
// committed survives [PostgresServer.Kill], but not the end of the machine.
type PostgresServer struct {
	bin, dir string
	port     int
	as       *syscall.Credential // nil when we are not root

	mu     sync.Mutex
	server *process // nil when stopped
}

// sharedPostgres is the server of [SharedPostgreSQL], guarded by shared.mu.
var sharedPostgres struct {
	server  *PostgresServer
	failure error // why it did not start; it is tried once
}

// PostgreSQL starts a server for one test. The test fails if that cannot be
// done.
func PostgreSQL(tb testing.TB) *PostgresServer {
	tb.Helper()
	p, err := newPostgres()
	if err != nil {
		tb.Fatalf("start PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if err := p.remove(); err != nil {
			tb.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return p
}

// SharedPostgreSQL returns the server that all tests of the package share. It
// is started by the first that asks, and stopped by [Main], which the package's
// TestMain must call. Each test has databases of its own in it, see
// [PostgresServer.NewDatabase].
func SharedPostgreSQL(tb testing.TB) *PostgresServer {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		tb.Fatal("SharedPostgreSQL: nobody would stop the server: call server.Main from TestMain")
	}
	if sharedPostgres.server == nil && sharedPostgres.failure == nil {
		p, err := newPostgres()
		sharedPostgres.server, sharedPostgres.failure = p, err
		if p != nil {
			shared.stops = append(shared.stops, func(bool) {
				if err := p.remove(); err != nil {
					fmt.Fprintf(os.Stderr, "stop PostgreSQL: %v\n", err)
				}
			})
		}
	}
	if sharedPostgres.failure != nil {
		tb.Fatalf("start PostgreSQL: %v", sharedPostgres.failure)
	}
	return sharedPostgres.server
}

// URL returns the address of the database postgres, for example
// "postgres://postgres@127.0.0.1:40123/postgres?sslmode=disable".
func (p *PostgresServer) URL() string { return p.urlFor("postgres") }

func (p *PostgresServer) urlFor(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: p.addr(),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (p *PostgresServer) addr() string { return "127.0.0.1:" + strconv.Itoa(p.port) }

// NewDatabase makes an empty database and returns its URL. The test's cleanup
// drops it, whoever is still connected.
func (p *PostgresServer) NewDatabase(tb testing.TB) string {
	tb.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	if err := p.exec("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	tb.Cleanup(func() {
		if !p.running() {
			return // it goes with the server's data
		}
		if err := p.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("drop the database: %v", err)
		}
	})
	return p.urlFor(name)
}

func (p *PostgresServer) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func (p *PostgresServer) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server != nil
}

// Stop ends the server in order; clients see their connections closed. Its data
// stays, and [PostgresServer.Start] starts it again on the same port.
func (p *PostgresServer) Stop() error { return p.end(syscall.SIGINT) }

// Kill ends the server and the processes that serve its clients as a crash
// does. See Stop.
func (p *PostgresServer) Kill() error { return p.end(syscall.SIGKILL) }

func (p *PostgresServer) end(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return nil
	}
	var left []int // a killed server's children would go on for a moment
	if sig == syscall.SIGKILL {
		var err error
		if left, err = children(p.server.cmd.Process.Pid); err != nil {
			return err
		}
	}
	err := p.server.stop(sig, postgresStop)
	p.server = nil
	for _, pid := range left {
		err = errors.Join(err, killAndWait(pid))
	}
	return err
}

// children returns the processes that a process has started and not waited for.
func children(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, child)
	}
	return pids, nil
}

// killAndWait kills a process that is not a child of ours, and returns when it
// does nothing any more.
func killAndWait(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) {
		return nil
	} else if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), postgresStop)
	defer cancel()
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, state, _ := strings.Cut(string(stat), ") ")
		if err != nil || strings.HasPrefix(state, "Z") { // whoever inherited it may be slow to wait for it
			return nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("process %d does not end: %w", pid, err)
		}
	}
}

// Start starts a stopped server and returns when it serves clients.
func (p *PostgresServer) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), postgresBoot)
	defer cancel()
	server, err := start(p.command(context.Background(), "postgres", "-D", p.data()), p.log())
	if err != nil {
		return err
	}
	if err := p.ready(ctx, server); err != nil {
		return errors.Join(err, server.stop(syscall.SIGQUIT, postgresStop))
	}
	p.server = server
	return nil
}

// ready returns nil when the server lets clients in, and an error when it ends
// or ctx does.
func (p *PostgresServer) ready(ctx context.Context, server *process) error {
	for {
		conn, err := pgx.Connect(ctx, p.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-server.exited:
			return fmt.Errorf("the server ended; its log ends:\n%s", p.logTail())
		default:
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("the server lets nobody in: %w; its log ends:\n%s", err, p.logTail())
		}
	}
}

// newPostgres makes a data directory and starts a server on it.
func newPostgres() (*PostgresServer, error) {
	bin, err := newestPostgres()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	// Not in the test's own directory, which is closed to other users.
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		return nil, err
	}
	p := &PostgresServer{bin: bin, dir: dir, port: ports[0]}
	if err := p.boot(); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// newestPostgres returns the folder of the newest installed version's programs.
func newestPostgres() (string, error) {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(bin string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // 0 for what is not a version
		return n
	}
	slices.SortFunc(bins, func(a, b string) int { return version(a) - version(b) })
	if len(bins) == 0 {
		bins = []string{"/usr/lib/postgresql/*/bin"} // names itself in the error
	}
	bin := bins[len(bins)-1]
	return bin, errors.Join(missing(bin+"/initdb", postgresPackage), missing(bin+"/postgres", postgresPackage))
}

func (p *PostgresServer) boot() error {
	if err := p.ownDir(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), postgresBoot)
	defer cancel()
	_, err := output(p.command(ctx, "initdb", "--no-sync", "--auth=trust", "--username=postgres",
		"--encoding=UTF8", "--locale=C.UTF-8", "-D", p.data()))
	if err != nil {
		return err
	}
	settings := fmt.Sprintf(`
listen_addresses = '127.0.0.1'
port = %d
unix_socket_directories = '%s'
fsync = off
full_page_writes = off
max_connections = 100
shared_buffers = 32MB
`, p.port, p.dir)
	file, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(settings)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return p.Start()
}

// ownDir gives the directory to the user postgres when we are root, since
// PostgreSQL refuses to run as root.
func (p *PostgresServer) ownDir() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w: apt-get install %s", err, postgresPackage)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, int(uid), int(gid))
}

// command prepares one of PostgreSQL's programs. The caller's PG variables must
// not leak in.
func (p *PostgresServer) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LANG=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

func (p *PostgresServer) data() string { return filepath.Join(p.dir, "data") }

func (p *PostgresServer) log() string { return filepath.Join(p.dir, "server.log") }

// logTail returns the end of the server's log.
func (p *PostgresServer) logTail() string {
	text, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	const most = 4000
	return string(text[max(0, len(text)-most):])
}

// remove stops the server and deletes its data.
func (p *PostgresServer) remove() error {
	err := p.end(syscall.SIGQUIT) // at once: nobody needs its data any more
	return errors.Join(err, os.RemoveAll(p.dir))
}
