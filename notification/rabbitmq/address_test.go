package rabbitmq

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestURLs(t *testing.T) {
	tests := []struct {
		name  string
		url   string
		hosts []string
		vhost string
	}{
		{"one host", "amqps://u:p@mq.example.no/", []string{"mq.example.no:5671"}, ""},
		{"plain", "amqp://u:p@mq.example.no", []string{"mq.example.no:5672"}, ""},
		{"port", "amqps://u:p@mq.example.no:5000/x", []string{"mq.example.no:5000"}, "x"},
		{"several hosts", "amqps://u:p@a:1,b,c:3/x", []string{"a:1", "b:5671", "c:3"}, "x"},
		{"commas in the password", "amqps://u:a,b@c,d:2/x", []string{"c:5671", "d:2"}, "x"},
		{"several URLs", "amqps://u:p@a/x,amqps://u:p@b:2/x", []string{"a:5671", "b:2"}, "x"},
		{"URLs with white space", " amqps://u:p@a/x,\n amqps://u:p@b/x ", []string{"a:5671", "b:5671"}, "x"},
		{"the same host twice", "amqps://u:p@a,a/x", []string{"a:5671"}, "x"},
		{"IPv6", "amqp://u:p@[::1]:7,[::2]/", []string{"[::1]:7", "[::2]:5672"}, ""},
		{"default host", "amqp://", []string{"localhost:5672"}, ""},
		{"escaped vhost", "amqps://u:p@a/system%2Ftest%20%23%25%C3%A6", []string{"a:5671"}, "system/test #%æ"},
		{"escaped slash", "amqps://u:p@a/%2f", []string{"a:5671"}, "/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := parseBroker(tt.url)
			require.NoError(t, err)
			var hosts []string
			for _, h := range b.hosts {
				hosts = append(hosts, h.String())
			}
			require.Equal(t, tt.hosts, hosts)
			require.Equal(t, tt.vhost, b.vhost)
		})
	}
}

func TestParametersOfTheURL(t *testing.T) {
	b, err := parseBroker("amqps://a,b/?cacertfile=/ca&certfile=/c&keyfile=/k&server_name_indication=n&heartbeat=7&auth_mechanism=EXTERNAL")
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, b.heartbeat)
	require.True(t, b.external)
	require.Equal(t, []string{"/ca", "/c", "/k", "n"}, []string{b.ca, b.cert, b.key, b.serverName})
}

func TestMisuseOfAConnection(t *testing.T) {
	const good = "amqps://user:" + secret + "@mq.example.no/"
	credentials := func(context.Context) (string, string, error) { return "", "", nil }
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	tests := []struct {
		name string
		url  string
		c    Connection
		want string
	}{
		{"white space only", " \n", Connection{}, "url: empty"},
		{"commas only", ",", Connection{}, "url: empty"},
		{"two users", good + ",amqps://other:" + secret + "@b/", Connection{}, "url: the URLs differ in more than host and port"},
		{"two schemes", good + " amqp://user:" + secret + "@b/", Connection{}, "url: the URLs differ in more than host and port"},
		{"host between commas", "amqps://user:" + secret + "@a,b:x/", Connection{}, "url: not an AMQP address"},
		{"mechanism", good + "?auth_mechanism=" + secret, Connection{}, "url: auth_mechanism: give plain or external"},
		{"no heartbeats", good + "?heartbeat=0", Connection{}, "url: heartbeat: give 1 to 3600 seconds"},
		{"vhost", good, Connection{Vhost: strings.Repeat("x", 256)}, "Connection.Vhost: 256 bytes, at most 255"},
		{"two vhosts", good + "a", Connection{Vhost: "b"}, "Connection.Vhost: the URL names another"},
		{"two passwords", good, Connection{Credentials: credentials, PasswordFile: "x"}, "Connection.PasswordFile: set together with Credentials"},
		{"certificate without key", good, Connection{CertFile: "x"}, "Connection.CertFile: give it together with KeyFile"},
		{"no such certificate", good, Connection{CertFile: "/no/c", KeyFile: "/no/k"}, "Connection.CertFile: open /no/c"},
		{"no such CA", good, Connection{CAFile: "/no/ca"}, "Connection.CAFile: open /no/ca"},
		{"empty CA", good, Connection{CAFile: empty}, "Connection.CAFile: no certificate in it"},
		{"heartbeat", good, Connection{Heartbeat: 1500 * time.Millisecond}, "Connection.Heartbeat: 1.5s: give whole seconds"},
		{"management", good, Connection{ManagementURL: "mq:15672"}, "Connection.ManagementURL: not an address"},
		{"management's user", good, Connection{ManagementURL: "https://u:" + secret + "@mq"}, "Connection.ManagementURL: has a user"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewSubscriber(tt.url, SubscriberConfig{Connection: tt.c})
			require.ErrorContains(t, err, "rabbitmq: "+tt.want)
			require.NotContains(t, err.Error(), secret)
			_, err = NewPublisher(tt.url, PublisherConfig{Connection: tt.c})
			require.ErrorContains(t, err, "rabbitmq: "+tt.want)
		})
	}
}

func TestNothingPrintsThePassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte(secret), 0o600))
	config := SubscriberConfig{Connection: Connection{PasswordFile: file}}
	s, err := NewSubscriber("amqp://user:"+secret+"@127.0.0.1:1/", config)
	require.NoError(t, err)
	p, err := NewPublisher("amqp://user:"+secret+"@127.0.0.1:1/", PublisherConfig{})
	require.NoError(t, err)
	for _, v := range []any{s, *s.dialer, s.dialer, config, p, *p.dialer, p.State(), s.State()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			require.NotContains(t, fmt.Sprintf(verb, v), secret)
		}
	}
}

func FuzzURLs(f *testing.F) {
	for _, seed := range []string{
		"amqps://u:p@a:1,b,c:3/x?heartbeat=5", "amqp://,", ",,amqp://a", "amqps://u:p@a/x,amqps://u:p@b/x", "amqp://[::1]:7,[::2]/%2f", "://@", "amqp:/a//@,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		b, err := parseBroker(list)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "url: "), "%v", err)
			return
		}
		require.NotEmpty(t, b.hosts)
		require.LessOrEqual(t, len(b.vhost), maxShort)
		for _, h := range b.hosts {
			require.NotEmpty(t, h.name)
			require.NotEqual(t, "0", h.port)
		}
	})
}
