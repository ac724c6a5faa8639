package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Portal is what the self-service portal makes when one application is granted
// another's notifications: a virtual host, a user and an exchange for each, and
// a shovel from the provider's virtual host to the consumer's.
type Portal struct {
	Provider, Consumer string // names of applications; their users' passwords are the same

	ProviderVhost, ConsumerVhost string
	// Outgoing is the topic exchange that the provider publishes to.
	Outgoing string
	// From is the consumer's queue, and the exchange before it.
	From string
}

// Portal makes the objects of a provider and a consumer, on a node with the
// plugin rabbitmq_shovel. The users may configure nothing.
func (n *RabbitMQNode) Portal(provider, consumer string) (Portal, error) {
	p := Portal{Provider: provider, Consumer: consumer}
	p.ProviderVhost, p.ConsumerVhost = "system-test-"+provider, "system-test-"+consumer
	p.Outgoing, p.From = "outgoing_"+p.ProviderVhost, "from_"+p.ProviderVhost
	definitions, err := json.Marshal(p.definitions())
	if err != nil {
		return p, err
	}
	file := filepath.Join(n.dir, "portal.json")
	if err := os.WriteFile(file, definitions, 0o600); err != nil {
		return p, err
	}
	shovel, err := json.Marshal(map[string]any{
		"src-protocol": "amqp091", "src-uri": n.URLFor("shovel", "shovel", p.ProviderVhost), "src-queue": "to_" + p.ConsumerVhost,
		"dest-protocol": "amqp091", "dest-uri": n.URLFor("shovel", "shovel", p.ConsumerVhost), "dest-exchange": p.From,
		"ack-mode": "on-confirm", "src-prefetch-count": 100, "reconnect-delay": 1,
	})
	if err != nil {
		return p, err
	}
	for _, args := range [][]string{
		{"add_user", provider, provider}, // rabbitmqctl hashes the passwords
		{"add_user", consumer, consumer},
		{"add_user", "shovel", "shovel"},
		// Or a message with the provider's user id ends the whole shovel.
		{"set_user_tags", "shovel", "impersonator"},
		{"import_definitions", file},
		{"set_parameter", "-p", p.ConsumerVhost, "shovel", p.ProviderVhost + "-to-" + p.ConsumerVhost, string(shovel)},
	} {
		if _, err := n.Ctl(args...); err != nil {
			return p, err
		}
	}
	for range 60 {
		out, err := n.Ctl("shovel_status")
		if err == nil && strings.Contains(out, "running") {
			return p, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return p, fmt.Errorf("the shovel of %s does not run", p.ConsumerVhost)
}

func (p Portal) definitions() map[string]any {
	type object = map[string]any
	user := func(name, vhost, write, read string) object {
		return object{"user": name, "vhost": vhost, "configure": "^$", "write": write, "read": read}
	}
	exchange := func(name, vhost string) object {
		return object{
			"name": name, "vhost": vhost, "type": "topic", "durable": true,
			"auto_delete": false, "internal": false, "arguments": object{},
		}
	}
	queue := func(name, vhost string, arguments object) object {
		return object{"name": name, "vhost": vhost, "durable": true, "auto_delete": false, "arguments": arguments}
	}
	binding := func(source, vhost, destination string) object {
		return object{
			"source": source, "vhost": vhost, "destination": destination,
			"destination_type": "queue", "routing_key": "#", "arguments": object{},
		}
	}
	quorum := object{"x-queue-type": "quorum"}
	return object{
		"vhosts": []object{{"name": p.ProviderVhost}, {"name": p.ConsumerVhost}},
		"permissions": []object{
			user(p.Provider, p.ProviderVhost, ".*", ".*"),
			user(p.Consumer, p.ConsumerVhost, ".*", ".*"),
			user("shovel", p.ProviderVhost, "^$", ".*"),
			user("shovel", p.ConsumerVhost, ".*", "^$"),
		},
		"exchanges": []object{
			exchange(p.Outgoing, p.ProviderVhost),
			exchange("outgoing_"+p.ConsumerVhost, p.ConsumerVhost),
			exchange(p.From, p.ConsumerVhost),
		},
		"queues": []object{
			queue("to_"+p.ConsumerVhost, p.ProviderVhost, quorum),
			queue(p.From, p.ConsumerVhost, object{
				"x-queue-type": "quorum", "x-delivery-limit": 20,
				"x-dead-letter-exchange": "", "x-dead-letter-routing-key": p.From + ".dead",
				"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
			}),
			queue(p.From+".dead", p.ConsumerVhost, quorum),
		},
		"bindings": []object{
			binding(p.Outgoing, p.ProviderVhost, "to_"+p.ConsumerVhost),
			binding(p.From, p.ConsumerVhost, p.From),
		},
	}
}
