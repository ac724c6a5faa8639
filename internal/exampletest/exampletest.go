// Package exampletest runs an example for real, as its README says: the
// fictional register of examples/register and the example are programs of their
// own, with a RabbitMQ between them.
//
// It is test infrastructure: only the examples' integration tests import it.
package exampletest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
)

// World is the register and its broker.
type World struct {
	tb    testing.TB
	api   string
	env   []string
	quiet chan struct{}
}

// Start starts the register with flags, beside those of its addresses. The
// package of the test calls [server.Main] from its TestMain, and is in the
// example's folder.
func Start(tb testing.TB, flags ...string) *World {
	tb.Helper()
	broker := server.SharedRabbitMQ(tb).URL()
	address := freeAddress(tb)
	w := &World{tb: tb, api: "http://" + address + "/register-api-test", quiet: make(chan struct{})}
	w.env = append(os.Environ(),
		"AMQP_URL="+broker,
		"AMQP_QUEUE=from_system-test-register",
		"GATEWAY_URL="+w.api,
		"GATEWAY_KEY=my-key",
		"WORK_STORE="+filepath.Join(tb.TempDir(), "work.db"),
		"LOG_LEVEL=warn",
	)
	// It outlives the test's context, to be stopped in order.
	register := exec.CommandContext(context.WithoutCancel(tb.Context()), build(tb, "../register"),
		append([]string{"-listen", address, "-amqp", broker}, flags...)...)
	log, err := register.StderrPipe()
	require.NoError(tb, err)
	require.NoError(tb, register.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.follow(log)
	}()
	tb.Cleanup(func() {
		require.NoError(tb, register.Process.Signal(syscall.SIGTERM))
		<-ended
		require.NoError(tb, register.Wait())
	})
	return w
}

// follow reads the register's log until its end.
func (w *World) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.Contains(line, "that was the last change"):
			close(w.quiet)
		case strings.Contains(line, "level=ERROR"):
			w.tb.Errorf("register: %s", line)
		}
	}
}

// Run starts the example with further settings, such as "DATABASE_URL=…". It
// returns how to stop it: by SIGTERM, which must end it with exit code 0.
func (w *World) Run(env ...string) (stop func()) {
	w.tb.Helper()
	program := w.command(build(w.tb, "."))
	program.Env = slices.Concat(w.env, env)
	program.Stderr = os.Stderr
	require.NoError(w.tb, program.Start())
	return func() {
		w.tb.Helper()
		require.NoError(w.tb, program.Process.Signal(syscall.SIGTERM))
		require.NoError(w.tb, program.Wait())
	}
}

// Usage runs the example without its settings and with --help: it must explain
// itself, with exit codes 2 and 0.
func (w *World) Usage() {
	w.tb.Helper()
	program := build(w.tb, ".")
	for _, run := range []struct {
		args []string
		code int
	}{{nil, 2}, {[]string{"--help"}, 0}} {
		cmd := w.command(program, run.args...)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		require.Equal(w.tb, run.code, cmd.ProcessState.ExitCode(), "%v: %s", err, out)
		require.Contains(w.tb, string(out), "AMQP_URL ")
		require.Contains(w.tb, string(out), "Exit codes: ")
	}
}

// WaitForLastChange returns when the register has made as many changes as its
// flag -changes says.
func (w *World) WaitForLastChange() {
	w.tb.Helper()
	select {
	case <-w.quiet:
	case <-time.After(time.Minute):
		require.Fail(w.tb, "the register has not come to its last change")
	}
}

// Get reads the state at a path of the register's API, and returns false if
// there is none.
func (w *World) Get(path string, into any) bool {
	w.tb.Helper()
	request, err := http.NewRequestWithContext(w.tb.Context(), http.MethodGet, w.api+"/"+path, http.NoBody)
	require.NoError(w.tb, err)
	request.Header.Set("X-Gravitee-Api-Key", "my-key")
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	require.NoError(w.tb, err)
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return false
	}
	require.Equal(w.tb, http.StatusOK, answer.StatusCode)
	require.NoError(w.tb, json.NewDecoder(answer.Body).Decode(into))
	return true
}

// All reads the states of a kind by their ids, which are numbers from 1.
func All[S any](w *World, kind string) map[string]S {
	w.tb.Helper()
	all := make(map[string]S)
	for n := 1; ; n++ {
		var state S
		if !w.Get(fmt.Sprintf("%s/%d", kind, n), &state) {
			return all
		}
		all[fmt.Sprint(n)] = state
	}
}

func (w *World) command(name string, args ...string) *exec.Cmd {
	return exec.CommandContext(w.tb.Context(), name, args...)
}

// build builds the program in a folder.
func build(tb testing.TB, folder string) string {
	tb.Helper()
	program := filepath.Join(tb.TempDir(), "program")
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", program, folder)
	cmd.Stderr = os.Stderr
	require.NoError(tb, cmd.Run())
	return program
}

// Database makes a database with the example's schema.sql, and returns its URL
// and a pool of connections to it. The package of the test needs PostgreSQL.
func Database(tb testing.TB) (string, *pgxpool.Pool) {
	tb.Helper()
	url := server.SharedPostgreSQL(tb).NewDatabase(tb)
	pool, err := pgxpool.New(tb.Context(), url)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	schema, err := os.ReadFile("schema.sql")
	require.NoError(tb, err)
	_, err = pool.Exec(tb.Context(), string(schema))
	require.NoError(tb, err)
	return url, pool
}

// freeAddress returns a loopback address with a port that nobody uses.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer listener.Close()
	return listener.Addr().String()
}
