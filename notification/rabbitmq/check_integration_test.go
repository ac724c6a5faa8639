//go:build integration

package rabbitmq_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/konnektor-go/konnektor/internal/server"
	"github.com/konnektor-go/konnektor/notification"
	"github.com/konnektor-go/konnektor/notification/rabbitmq"
)

// finding returns the line of that name; empty if there is none.
func finding(findings []rabbitmq.Finding, name string) rabbitmq.Finding {
	for _, f := range findings {
		if f.Name == name {
			return f
		}
	}
	return rabbitmq.Finding{}
}

func (r *rig) checked(address, queue string, config rabbitmq.SubscriberConfig) []rabbitmq.Finding {
	r.Helper()
	s, err := rabbitmq.NewSubscriber(address, config)
	require.NoError(r, err)
	findings := s.Check(r.Context(), queue)
	require.NoError(r, s.Close())
	return findings
}

func (r *rig) user(name, configure, write, read string) string {
	r.Helper()
	r.ctl("add_user", name, name)
	r.ctl("set_permissions", name, configure, write, read)
	return r.node.URLFor(name, name, "")
}

func TestCheckSeesAQueueByItsArguments(t *testing.T) {
	r := newRig(t)
	r.declare(amqp.Table{
		"x-queue-type": "quorum", "x-delivery-limit": int64(7), "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead",
		"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-single-active-consumer": true,
	})
	r.fill(1, 3)
	r.holds(3)
	findings := r.checked(r.node.URL(), r.queue, rabbitmq.SubscriberConfig{})
	for name, want := range map[string]string{
		"connection":             r.node.Addr() + ", not encrypted",
		"virtual host":           "/",
		"queue":                  r.queue + ": 3 messages ready, 0 consumers",
		"right to read":          "yes",
		"right to configure":     "yes",
		"queue type":             "quorum",
		"delivery limit":         "7",
		"dead-lettering":         "to queue dead, at-least-once",
		"single active consumer": "yes",
	} {
		require.Equal(t, want, finding(findings, name).Value, name)
	}
	require.Contains(t, finding(findings, "server").Value, "RabbitMQ 3.")
	require.Equal(t, rabbitmq.Unknown, finding(findings, "policies").Verdict)
	require.Equal(t, rabbitmq.Unknown, finding(findings, "consumer timeout").Verdict, "nobody can see it")
	r.holds(3)
	require.Len(t, r.left(), 3)
	require.NotContains(t, r.ctl("list_queues", "name", "arguments"), "konnektor-check")
}

func TestCheckMakesNothing(t *testing.T) {
	r := newRig(t)
	r.declare(nil)
	r.fill(1, 2)
	before := r.ctl("list_queues", "name", "arguments")
	require.Equal(t, "classic", finding(r.checked(r.node.URL(), r.queue, rabbitmq.SubscriberConfig{}), "queue type").Value)
	missing := r.checked(r.node.URL(), r.queue+".missing", rabbitmq.SubscriberConfig{})
	require.Equal(t, rabbitmq.Problem, finding(missing, "queue").Verdict)
	require.Contains(t, finding(missing, "queue").Value, "missing")
	require.Equal(t, before, r.ctl("list_queues", "name", "arguments"))
	require.Len(t, r.left(), 2)
}

func TestCheckSaysWhatCannotBeSeen(t *testing.T) {
	r := newRig(t)
	r.quorum()
	reader := r.checked(r.user("check-reader", "^$", "^$", ".*"), r.queue, rabbitmq.SubscriberConfig{})
	require.Equal(t, rabbitmq.OK, finding(reader, "right to read").Verdict)
	require.Equal(t, rabbitmq.OK, finding(reader, "right to configure").Verdict, "none is needed")
	require.Equal(t, rabbitmq.Unknown, finding(reader, "queue arguments").Verdict)
	require.Empty(t, finding(reader, "queue type"), "not guessed")

	own := rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: r.queue}}}
	declarer := r.checked(r.node.URLFor("check-reader", "check-reader", ""), r.queue, rabbitmq.SubscriberConfig{Declare: own, Exclusive: true})
	require.Equal(t, rabbitmq.Problem, finding(declarer, "right to configure").Verdict)
	require.Equal(t, rabbitmq.Warning, finding(declarer, "exclusive").Verdict)

	stranger := r.checked(r.user("check-stranger", "^$", "^$", "^$"), r.queue, rabbitmq.SubscriberConfig{})
	require.Equal(t, rabbitmq.Problem, finding(stranger, "right to read").Verdict)

	wrong := r.checked(r.node.URLFor("guest", "s3cr3t", ""), r.queue, rabbitmq.SubscriberConfig{})
	require.Len(t, wrong, 1)
	require.Equal(t, rabbitmq.Problem, wrong[0].Verdict)
	require.NotContains(t, wrong[0].Value, "s3cr3t")
}

func TestCheckOfAPublisher(t *testing.T) {
	r := newRig(t)
	r.quorum()
	exchange := r.queue + ".exchange"
	require.NoError(t, r.admin.ExchangeDeclare(exchange, amqp.ExchangeTopic, true, false, false, false, nil))
	require.NoError(t, r.admin.QueueBind(r.queue, "#", exchange, false, nil))
	check := func(url, exchange string) []rabbitmq.Finding {
		p := r.publisher(url, rabbitmq.PublisherConfig{Exchange: exchange})
		return p.Check(t.Context())
	}
	good := check(r.node.URL(), exchange)
	require.Equal(t, rabbitmq.OK, finding(good, "exchange").Verdict)
	require.Equal(t, exchange+": yes", finding(good, "right to write").Value)
	require.Equal(t, rabbitmq.OK, finding(check(r.node.URL(), ""), "right to write").Verdict)
	refused := check(r.user("check-silent", "^$", "^$", ".*"), exchange)
	require.Equal(t, rabbitmq.Problem, finding(refused, "right to write").Verdict)
	require.Equal(t, rabbitmq.Problem, finding(check(r.node.URL(), exchange+".missing"), "exchange").Verdict)
	require.Empty(t, r.left(), "nothing was published")
}

// listed returns what the management interface shows operators.
func (r *rig) listed(what string) string {
	r.Helper()
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.node.ManagementURL()+"/api/"+what, http.NoBody)
	require.NoError(r, err)
	request.SetBasicAuth("guest", "guest")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	require.NoError(r, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(r, errors.Join(err, response.Body.Close()))
	return string(text)
}

// TestThePortalsTopology is what a provider and a consumer find in production.
func TestThePortalsTopology(t *testing.T) {
	running := newRig(t) // for its check of goroutines
	node := server.RabbitMQConfig{Plugins: []string{"rabbitmq_shovel", "rabbitmq_management"}}.Start(t)
	portal, err := node.Portal("hr", "ldap")
	require.NoError(t, err)
	r := &rig{T: running.T, node: node, queue: portal.From}
	require.Equal(t, portal.From, rabbitmq.From(portal.ProviderVhost))
	require.Equal(t, portal.Outgoing, rabbitmq.Outgoing(portal.ProviderVhost))
	consumerURL := node.URLFor("ldap", "ldap", portal.ConsumerVhost)

	p := r.publisher(node.URLFor("hr", "hr", portal.ProviderVhost), rabbitmq.PublisherConfig{Exchange: portal.Outgoing})
	s, messages := r.subscribeAt(consumerURL, rabbitmq.SubscriberConfig{Prefetch: 50, Name: "people-to-ldap"})
	r.phase(s, rabbitmq.Ready)
	require.Eventually(t, func() bool { // statistics come late
		return strings.Contains(r.listed("connections"), `"user_provided_name":"people-to-ldap"`) &&
			strings.Contains(r.listed("consumers"), `"consumer_tag":"people-to-ldap@`)
	}, patience, 100*time.Millisecond, "what operators see")
	const total = 500
	require.NoError(t, p.Publish("no.uio.hr.test.person.update", numbered(1, total)...))
	seen := map[string]bool{}
	for range total {
		msg := next(t, messages)
		require.Equal(t, "no.uio.hr.test.person.update", msg.Metadata[notification.MetaRoutingKey])
		require.NotContains(t, msg.Metadata, "x-delivery-count", "the provider's side has counted too")
		seen[string(msg.Payload)] = true
		msg.Ack()
	}
	require.Len(t, seen, total)
	require.ErrorContains(t, r.publisher(consumerURL, rabbitmq.PublisherConfig{
		Declare: rabbitmq.Topology{Queues: []rabbitmq.Queue{{Name: "own"}}},
	}).Publish("own", numbered(1, 1)...), "no right to configure")

	// What Check sees with the management API, and without the tag for it.
	config := rabbitmq.SubscriberConfig{Connection: rabbitmq.Connection{ManagementURL: node.ManagementURL()}}
	blind := r.checked(consumerURL, portal.From, config)
	require.Equal(t, rabbitmq.Unknown, finding(blind, "management").Verdict)
	require.Contains(t, finding(blind, "management").Value, "401")
	require.Equal(t, rabbitmq.Unknown, finding(blind, "queue arguments").Verdict)
	r.ctl("set_user_tags", "ldap", "management")
	r.ctl("set_policy", "-p", portal.ConsumerVhost, "limit", ".*", `{"delivery-limit":5}`, "--apply-to", "queues")
	var seeing []rabbitmq.Finding
	require.Eventually(t, func() bool { // statistics come late
		seeing = r.checked(consumerURL, portal.From, config)
		return finding(seeing, "delivery limit").Value == "5"
	}, patience, 100*time.Millisecond)
	require.Equal(t, "quorum", finding(seeing, "queue type").Value)
	require.Equal(t, "to queue "+portal.From+".dead, at-least-once", finding(seeing, "dead-lettering").Value)
	require.Equal(t, "1 of 1 replicas online", finding(seeing, "replicas").Value)
	require.Empty(t, finding(seeing, "policies"), "they are part of what was seen")
}

func TestTLSForReal(t *testing.T) {
	running := newRig(t)
	ca := server.NewAuthority(t)
	cert, key := ca.Sign(t, "localhost", "mq.example.no")
	node := server.RabbitMQConfig{TLS: &server.RabbitMQTLS{
		CAFile: ca.File, CertFile: cert, KeyFile: key, ClientCertificates: true,
	}}.Start(t)
	r := &rig{T: running.T, node: node, queue: "secure"}
	r.admin = channel(t, node)
	r.quorum()
	mine, myKey := ca.Sign(t, "people-to-ldap")
	secure := "amqps://guest:guest@" + node.SecureAddr() + "/"
	tests := []struct {
		name string
		url  string
		c    rabbitmq.Connection
		want string // in the error; empty if it works
	}{
		{"certificates", secure, rabbitmq.Connection{CAFile: ca.File, CertFile: mine, KeyFile: myKey}, ""},
		{"another name", secure, rabbitmq.Connection{CAFile: ca.File, CertFile: mine, KeyFile: myKey, ServerName: "mq.example.no"}, ""},
		{"in the URL", secure + "?cacertfile=" + ca.File + "&certfile=" + mine + "&keyfile=" + myKey + "&server_name_indication=mq.example.no", rabbitmq.Connection{}, ""},
		{"no certificate", secure, rabbitmq.Connection{CAFile: ca.File}, "it may want a certificate"},
		{"wrong name", secure, rabbitmq.Connection{CAFile: ca.File, CertFile: mine, KeyFile: myKey, ServerName: "other.test"}, "set Connection.ServerName"},
		{"unknown authority", secure, rabbitmq.Connection{CertFile: mine, KeyFile: myKey}, "set Connection.CAFile"},
		{"amqps to the plain port", "amqps://guest:guest@" + node.Addr(), rabbitmq.Connection{}, "the port does not speak TLS"},
		{"amqp to the TLS port", strings.Replace(secure, "amqps", "amqp", 1), rabbitmq.Connection{}, "start the URL with amqps"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := r.publisher(tt.url, rabbitmq.PublisherConfig{Connection: tt.c})
			err := p.Publish(r.queue, numbered(1, 1)...)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			t.Log(err)
		})
	}
	findings := r.checked(secure, r.queue, rabbitmq.SubscriberConfig{Connection: tests[0].c})
	require.Equal(t, node.SecureAddr()+", TLS 1.3", finding(findings, "connection").Value)
	_, messages := r.subscribeAt(secure, rabbitmq.SubscriberConfig{Connection: tests[0].c})
	next(t, messages).Ack()
}
