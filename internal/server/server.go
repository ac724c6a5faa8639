// Package server starts real servers for integration tests, from the programs
// of Debian's packages. Each has a data directory, ports and secrets of its
// own, listens on loopback only, and is stopped and removed by the test's
// cleanup, or by [Main] when it is shared.
//
// It is test infrastructure: only tests import it.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shared holds what [Main] stops at the end of a test binary. It is the only
// state of the package: a server that takes ten seconds to start is worth
// sharing among tests, and tests have nothing else in common.
var shared struct {
	mu      sync.Mutex
	running bool // Main is in charge
	stops   []func(failed bool)
	rabbit  *RabbitMQNode
	failure error // why the shared node did not start; it is tried once
}

// Main runs the tests, stops the shared servers and exits. A package that uses
// a shared server calls it from its TestMain.
func Main(m *testing.M) {
	shared.mu.Lock()
	shared.running = true
	shared.mu.Unlock()
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, stop := range shared.stops {
		stop(code != 0)
	}
	os.Exit(code) //nolint:gocritic // nothing is left to do for the deferred unlock
}

// freePorts returns n different TCP ports of 127.0.0.1 on which nothing
// listens. They are free, not reserved: use them soon.
func freePorts(n int) ([]int, error) {
	if n == 0 {
		return nil, nil
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	rest, err := freePorts(n - 1) // while this one is held, so that all differ
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	return append(rest, int(port)), errors.Join(err, l.Close())
}

// waitPort returns nil as soon as addr accepts a TCP connection, and an error
// when ctx ends first.
func waitPort(ctx context.Context, addr string) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%s does not accept connections: %w", addr, err)
		}
	}
}

// pause waits for d, or returns the error of ctx when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// missing returns nil if program exists, as a path or in PATH, and otherwise an
// error that names the Debian package to install.
func missing(program, debianPackage string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s not found: apt-get install %s", program, debianPackage)
	}
	return nil
}

// output runs cmd and returns what it printed. The error of a program that
// fails ends with that text.
func output(cmd *exec.Cmd) (string, error) {
	text, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// process is a server that runs as a child. It dies with the test binary, even
// if that is killed.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed after the process has ended and was waited for
}

// start starts cmd, with what it prints appended to the file at log.
func start(cmd *exec.Cmd, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err = cmd.Start() // the child has the file now
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() { // ends with the process; stop waits for it
		defer close(p.exited)
		_ = cmd.Wait()
	}()
	return p, nil
}

// stop sends sig and waits for the end. A process that is still there after
// the grace period is killed, which is an error.
func (p *process) stop(sig syscall.Signal, grace time.Duration) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(grace):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return fmt.Errorf("%s did not stop within %s and was killed", filepath.Base(p.cmd.Path), grace)
}
