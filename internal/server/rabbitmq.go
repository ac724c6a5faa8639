package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	rabbitBin     = "/usr/lib/rabbitmq/bin/"
	rabbitPackage = "rabbitmq-server"
	rabbitBoot    = 120 * time.Second // 6 to 14 s on a quiet machine
	rabbitStop    = 60 * time.Second
)

// RabbitMQNode is a RabbitMQ server of one's own: user guest with password
// guest, virtual host "/", no plugins unless a [RabbitMQConfig] names some.
type RabbitMQNode struct {
	config                RabbitMQConfig
	dir, name             string
	port, dist, epmd, ctl int
	tls, http             int

	ctlTurn sync.Mutex // one rabbitmqctl at a time, they share a port

	mu     sync.Mutex
	mapper *process // epmd, which nodes need to find each other; a cluster's first node has it
	node   *process // nil when stopped
}

// RabbitMQ starts a node for one test. The test fails if that cannot be done.
func RabbitMQ(tb testing.TB) *RabbitMQNode {
	tb.Helper()
	return RabbitMQConfig{}.Start(tb)
}

// SharedRabbitMQ returns the node that all tests of the package share. It is
// started by the first that asks, and stopped by [Main], which the package's
// TestMain must call. Tests share queues too, so they use names of their own.
func SharedRabbitMQ(tb testing.TB) *RabbitMQNode {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.running {
		tb.Fatal("SharedRabbitMQ: nobody would stop the node: call server.Main from TestMain")
	}
	if shared.rabbit == nil && shared.failure == nil {
		shared.rabbit, shared.failure = newRabbitMQ(RabbitMQConfig{})
		if n := shared.rabbit; n != nil {
			shared.stops = append(shared.stops, func(failed bool) {
				if failed {
					fmt.Fprintf(os.Stderr, "RabbitMQ's log ends:\n%s\n", n.logTail())
				}
				if err := n.remove(); err != nil {
					fmt.Fprintf(os.Stderr, "stop RabbitMQ: %v\n", err)
				}
			})
		}
	}
	if shared.failure != nil {
		tb.Fatalf("start RabbitMQ: %v", shared.failure)
	}
	return shared.rabbit
}

// URL returns the node's address with the user guest, for example
// "amqp://guest:guest@127.0.0.1:40123/".
func (n *RabbitMQNode) URL() string { return n.URLFor("guest", "guest", "") }

// URLFor returns the node's address for another user or virtual host. An empty
// vhost is the default one, "/".
func (n *RabbitMQNode) URLFor(user, password, vhost string) string {
	return fmt.Sprintf("amqp://%s:%s@%s/%s", user, password, n.addr(), vhost)
}

func (n *RabbitMQNode) addr() string { return "127.0.0.1:" + strconv.Itoa(n.port) }

// Ctl runs rabbitmqctl on the node and returns what it printed.
func (n *RabbitMQNode) Ctl(args ...string) (string, error) {
	n.ctlTurn.Lock()
	defer n.ctlTurn.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return output(n.command(ctx, "rabbitmqctl", append([]string{"-q"}, args...)...))
}

// Stop ends the node in order; clients see their connections closed. Its data
// stays, and [RabbitMQNode.Start] starts it again on the same port.
func (n *RabbitMQNode) Stop() error { return n.end(syscall.SIGTERM) }

// Kill ends the node as a crash does. See Stop.
func (n *RabbitMQNode) Kill() error { return n.end(syscall.SIGKILL) }

// Freeze stops the node from doing anything, as a hanging machine does. Its
// connections stay open until [RabbitMQNode.Thaw].
func (n *RabbitMQNode) Freeze() error { return n.signal(syscall.SIGSTOP) }

// Thaw lets a frozen node go on.
func (n *RabbitMQNode) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *RabbitMQNode) signal(sig syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.node == nil {
		return fmt.Errorf("%s does not run", n.name)
	}
	return n.node.cmd.Process.Signal(sig)
}

func (n *RabbitMQNode) end(sig syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.node == nil {
		return nil
	}
	err := n.node.stop(sig, rabbitStop)
	n.node = nil
	return err
}

// Start starts a stopped node and returns when it serves clients.
func (n *RabbitMQNode) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.node != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), rabbitBoot)
	defer cancel()
	node, err := start(n.command(context.Background(), "rabbitmq-server"), n.log())
	if err != nil {
		return err
	}
	if err := n.ready(ctx, node); err != nil {
		_ = node.stop(syscall.SIGKILL, rabbitStop)
		return fmt.Errorf("%w; its log ends:\n%s", err, n.logTail())
	}
	n.node = node
	return nil
}

// ready returns nil when the node serves clients.
func (n *RabbitMQNode) ready(ctx context.Context, node *process) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-node.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := waitPort(ctx, n.addr()); err != nil {
		return err
	}
	for { // the port opens a moment before users are let in
		conn, err := amqp.Dial(n.URL())
		if err == nil {
			return conn.Close()
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the node lets nobody in: %w", err)
		}
	}
}

// command prepares one of RabbitMQ's own programs for this node. The wrappers
// in /usr/sbin would change the user and drop the environment, and the caller's
// RABBITMQ_ variables must not leak in.
func (n *RabbitMQNode) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	const loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
	ctl := strconv.Itoa(n.ctl)
	file := func(name string) string { return filepath.Join(n.dir, name) }
	cmd := exec.CommandContext(ctx, rabbitBin+program, args...)
	cmd.Dir = n.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + n.dir,
		"ERL_EPMD_PORT=" + strconv.Itoa(n.epmd), "ERL_EPMD_ADDRESS=127.0.0.1", "ERL_CRASH_DUMP_SECONDS=0",
		"RABBITMQ_NODENAME=" + n.name,
		"RABBITMQ_CONF_ENV_FILE=" + file("rabbitmq-env.conf"),
		"RABBITMQ_CONFIG_FILE=" + file("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + file("advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + file("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + file("mnesia"),
		"RABBITMQ_LOG_BASE=" + file("log"),
		"RABBITMQ_GENERATED_CONFIG_DIR=" + file("generated"),
		"RABBITMQ_PID_FILE=" + file("node.pid"),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(n.dist),
		"RABBITMQ_CTL_DIST_PORT_MIN=" + ctl, "RABBITMQ_CTL_DIST_PORT_MAX=" + ctl,
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=" + loopback,
		"RABBITMQ_CTL_ERL_ARGS=" + loopback,
		// With input allowed the script becomes the server instead of keeping
		// it as a child, so our child is the server. There is no input though.
		"RABBITMQ_ALLOW_INPUT=true", "RABBITMQ_SERVER_START_ARGS=-noinput",
	}
	return cmd
}

func (n *RabbitMQNode) log() string { return filepath.Join(n.dir, "node.log") }

func (n *RabbitMQNode) logTail() string {
	text, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	if lines := bytes.Split(text, []byte("\n")); len(lines) > 40 {
		text = bytes.Join(lines[len(lines)-40:], []byte("\n"))
	}
	return string(text)
}

// remove stops the node and its port mapper and deletes its data.
func (n *RabbitMQNode) remove() error {
	err := n.Kill() // nobody needs its data any more
	if n.mapper != nil {
		err = errors.Join(err, n.mapper.stop(syscall.SIGKILL, 10*time.Second))
	}
	return errors.Join(err, os.RemoveAll(n.dir))
}
