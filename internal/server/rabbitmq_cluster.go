package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// RabbitMQCluster starts a cluster of three nodes for one test. The test fails
// if that cannot be done. It takes half a minute.
//
// A node that was killed must be started again while another runs. A test that
// ends nodes uses a new name for each queue: one that is declared again under
// its old name can come back without its replicas.
func RabbitMQCluster(tb testing.TB) []*RabbitMQNode {
	tb.Helper()
	return RabbitMQConfig{}.StartCluster(tb)
}

// StartCluster starts a cluster of three such nodes, see [RabbitMQCluster].
func (c RabbitMQConfig) StartCluster(tb testing.TB) []*RabbitMQNode {
	tb.Helper()
	c.cluster = &rabbitCluster{cookie: rand.Text()}
	var nodes []*RabbitMQNode
	for range 3 {
		n, err := prepareRabbitMQ(c)
		if err != nil {
			tb.Fatalf("start a cluster of RabbitMQ: %v", err)
		}
		// Cleanups run in reverse: the first node, which has the port mapper
		// of all, goes last.
		n.removeAfter(tb)
		nodes = append(nodes, n)
		c.cluster.names = append(c.cluster.names, n.name)
	}
	if err := form(nodes); err != nil {
		tb.Fatalf("start a cluster of RabbitMQ: %v", err)
	}
	return nodes
}

// form boots the nodes and waits until they are one cluster.
func form(nodes []*RabbitMQNode) error {
	if err := nodes[0].boot(); err != nil { // the one that the others join
		return err
	}
	var others errgroup.Group
	for _, n := range nodes[1:] {
		others.Go(n.bootPatiently)
	}
	if err := others.Wait(); err != nil {
		return err
	}
	return WaitForCluster(nodes)
}

// bootPatiently boots a node that joins others. Nodes that join at the same
// moment can refuse each other's feature flags; another start helps.
func (n *RabbitMQNode) bootPatiently() error {
	err := n.boot()
	for range 2 {
		if err == nil {
			return nil
		}
		err = n.Start()
	}
	return err
}

// WaitForCluster returns when each of the nodes sees all of them, or an error
// after a minute.
func WaitForCluster(nodes []*RabbitMQNode) error {
	deadline := time.Now().Add(time.Minute)
	for {
		whole := true
		var errs []error
		for _, n := range nodes {
			out, err := n.Ctl("eval", "length(rabbit_mnesia:cluster_nodes(running)).")
			whole = whole && err == nil && strings.TrimSpace(out) == fmt.Sprint(len(nodes))
			errs = append(errs, err)
		}
		if whole {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not all nodes are in the cluster: %w", errors.Join(errs...))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// RabbitMQLeader returns which of the nodes leads a quorum queue of the virtual
// host "/".
func RabbitMQLeader(nodes []*RabbitMQNode, queue string) (*RabbitMQNode, error) {
	for _, n := range nodes {
		out, err := n.Ctl("list_queues", "name", "leader", "--no-table-headers")
		if err != nil {
			continue // it may be down
		}
		for line := range strings.Lines(out) {
			fields := strings.Fields(line)
			if len(fields) != 2 || fields[0] != queue {
				continue
			}
			for _, leader := range nodes {
				if leader.name == fields[1] {
					return leader, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("no node knows the leader of queue %s", queue)
}
