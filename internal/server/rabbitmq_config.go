package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RabbitMQConfig says how a node differs from the plain one. The zero config is
// the plain one.
type RabbitMQConfig struct {
	// Plugins are enabled, for example "rabbitmq_shovel". With
	// "rabbitmq_management" the node has a [RabbitMQNode.ManagementURL].
	Plugins []string
	// Conf are further lines of rabbitmq.conf.
	Conf string
	// Advanced is the text of advanced.config, an Erlang list, by default "[]".
	Advanced string
	// TLS adds a listener, see [RabbitMQNode.SecureAddr].
	TLS *RabbitMQTLS

	cluster *rabbitCluster
}

// RabbitMQTLS are the files of a node that speaks TLS.
type RabbitMQTLS struct {
	CAFile, CertFile, KeyFile string
	// ClientCertificates refuses clients without a certificate of the CA.
	ClientCertificates bool
}

// rabbitCluster is what the nodes of a cluster have in common.
type rabbitCluster struct {
	cookie string
	epmd   int
	names  []string
}

// Start starts a node for one test. The test fails if that cannot be done.
func (c RabbitMQConfig) Start(tb testing.TB) *RabbitMQNode {
	tb.Helper()
	n, err := newRabbitMQ(c)
	if err != nil {
		tb.Fatalf("start RabbitMQ: %v", err)
	}
	n.removeAfter(tb)
	return n
}

// removeAfter stops and removes the node when the test has ended.
func (n *RabbitMQNode) removeAfter(tb testing.TB) {
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the log of RabbitMQ's node %s ends:\n%s", n.name, n.logTail())
		}
		if err := n.remove(); err != nil {
			tb.Errorf("stop RabbitMQ: %v", err)
		}
	})
}

// newRabbitMQ makes a data directory and starts a node in it.
func newRabbitMQ(c RabbitMQConfig) (*RabbitMQNode, error) {
	n, err := prepareRabbitMQ(c)
	if err != nil {
		return nil, err
	}
	if err := n.boot(); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

// prepareRabbitMQ makes a node's data directory and finds it ports.
func prepareRabbitMQ(c RabbitMQConfig) (*RabbitMQNode, error) {
	err := errors.Join(missing(rabbitBin+"rabbitmq-server", rabbitPackage), missing("epmd", "erlang-base"))
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rabbitmq-")
	if err != nil {
		return nil, err
	}
	return &RabbitMQNode{
		config: c, dir: dir, name: "t" + strconv.Itoa(ports[0]) + "@localhost",
		port: ports[0], dist: ports[1], epmd: ports[2], ctl: ports[3], tls: ports[4], http: ports[5],
	}, nil
}

// boot starts the node for the first time, with a port mapper of its own unless
// it belongs to a cluster that has one.
func (n *RabbitMQNode) boot() error {
	if c := n.config.cluster; c != nil {
		if c.epmd != 0 {
			n.epmd = c.epmd
			return errors.Join(n.configure(), n.Start())
		}
		c.epmd = n.epmd
	}
	if err := n.configure(); err != nil {
		return err
	}
	mapper := exec.Command("epmd", "-port", strconv.Itoa(n.epmd), "-address", "127.0.0.1")
	var err error
	if n.mapper, err = start(mapper, n.log()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := waitPort(ctx, "127.0.0.1:"+strconv.Itoa(n.epmd)); err != nil {
		return err
	}
	return n.Start()
}

// configure writes the node's files. The empty ones keep the settings of
// /etc/rabbitmq out.
func (n *RabbitMQNode) configure() error {
	c := n.config
	cookie := rand.Text()
	if c.cluster != nil {
		cookie = c.cluster.cookie
	}
	advanced := c.Advanced
	if advanced == "" {
		advanced = "[]"
	}
	files := map[string]string{
		".erlang.cookie":    cookie,
		"rabbitmq-env.conf": "",
		"enabled_plugins":   "[" + strings.Join(c.Plugins, ",") + "].\n",
		"advanced.config":   advanced + ".\n",
		"rabbitmq.conf":     n.conf(),
	}
	for name, text := range files {
		// Erlang refuses a cookie that others can read.
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o400); err != nil {
			return err
		}
	}
	return nil
}

func (n *RabbitMQNode) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, `listeners.tcp.1 = %s
loopback_users.guest = true
log.file = false
log.console = true
log.console.level = info
disk_free_limit.absolute = 100MB
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 64000000
`, n.addr())
	if n.manages() {
		fmt.Fprintf(&b, "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = %d\ncollect_statistics_interval = 1000\n", n.http)
	}
	if t := n.config.TLS; t != nil {
		verify := "verify_none"
		if t.ClientCertificates {
			verify = "verify_peer"
		}
		fmt.Fprintf(&b, `listeners.ssl.1 = 127.0.0.1:%d
ssl_options.cacertfile = %s
ssl_options.certfile = %s
ssl_options.keyfile = %s
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
ssl_options.verify = %s
ssl_options.fail_if_no_peer_cert = %t
`, n.tls, t.CAFile, t.CertFile, t.KeyFile, verify, t.ClientCertificates)
	}
	if c := n.config.cluster; c != nil {
		// Nodes find the first in this list on their first start and join it.
		b.WriteString("cluster_formation.peer_discovery_backend = classic_config\ncluster_partition_handling = pause_minority\n")
		b.WriteString("mnesia_table_loading_retry_timeout = 15000\n")
		for i, name := range c.names {
			fmt.Fprintf(&b, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, name)
		}
	}
	b.WriteString(n.config.Conf + "\n")
	return b.String()
}

func (n *RabbitMQNode) manages() bool {
	return slices.Contains(n.config.Plugins, "rabbitmq_management")
}

// Addr returns the node's host and port.
func (n *RabbitMQNode) Addr() string { return n.addr() }

// SecureAddr returns host and port of the TLS listener, by the host's name. It
// is for a node with [RabbitMQConfig.TLS].
func (n *RabbitMQNode) SecureAddr() string { return "localhost:" + strconv.Itoa(n.tls) }

// ManagementURL returns the address of the HTTP API, for a node with the plugin
// rabbitmq_management.
func (n *RabbitMQNode) ManagementURL() string { return "http://127.0.0.1:" + strconv.Itoa(n.http) }

// Log returns the node's log so far.
func (n *RabbitMQNode) Log() (string, error) {
	text, err := os.ReadFile(n.log())
	return string(text), err
}
