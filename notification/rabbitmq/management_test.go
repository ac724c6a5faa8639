package rabbitmq

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestManagementIsAskedWithTheConnectionsUser(t *testing.T) {
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /base/api/queues/{vhost}/{queue}", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "user" || password != secret || r.PathValue("vhost") != "a/b" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.PathValue("queue") {
		case "away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "garbled":
			_, _ = w.Write([]byte("<html>"))
		default:
			_, _ = w.Write([]byte(`{"type":"quorum","state":"running","messages_unacknowledged":3,
				"arguments":{"x-queue-type":"quorum","x-delivery-limit":20,"x-overflow":"reject-publish"},
				"effective_policy_definition":{"delivery-limit":5,"overflow":"drop-head","dead-letter-exchange":"dlx"},
				"members":["a","b","c"],"online":["a","b"]}`))
		}
	})
	api := httptest.NewServer(mux)
	defer api.Close()
	s, err := NewSubscriber("amqp://user:"+secret+"@127.0.0.1:1/a%2Fb", SubscriberConfig{Connection: Connection{ManagementURL: api.URL + "/base/"}})
	require.NoError(t, err)

	q, err := s.manage(t.Context(), s.dialer, "q /æ")
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"x-queue-type": "quorum", "x-delivery-limit": "5", "x-overflow": "reject-publish", "x-dead-letter-exchange": "dlx",
	}, q.settings())
	var r report
	r.managed(q)
	require.Equal(t, report{
		{"in flight", "3 messages, of all consumers", OK, ""},
		{"replicas", "2 of 3 replicas online", Warning, "another loss can stop the queue"},
	}, r)

	_, err = s.manage(t.Context(), s.dialer, "away")
	require.ErrorContains(t, err, "302 Found")
	require.Zero(t, elsewhere, "the password goes to the configured host only")
	_, err = s.manage(t.Context(), s.dialer, "garbled")
	require.ErrorContains(t, err, "the management API's answer")
	s.dialer.vhost = "other"
	_, err = s.manage(t.Context(), s.dialer, "q")
	require.ErrorContains(t, err, "401 Unauthorized")
	require.NotContains(t, err.Error(), secret)
}

func TestWhatArgumentsMean(t *testing.T) {
	tests := []struct {
		name   string
		set    map[string]string
		server version
		want   map[string]Verdict
	}{
		{"plain quorum", map[string]string{"x-queue-type": "quorum"}, version{3, 10},
			map[string]Verdict{"queue type": OK, "delivery limit": OK, "dead-lettering": OK}},
		{"plain quorum since 4.0", map[string]string{"x-queue-type": "quorum"}, version{4, 0},
			map[string]Verdict{"queue type": OK, "delivery limit": Warning, "dead-lettering": OK}},
		{"classic", nil, version{4, 0},
			map[string]Verdict{"queue type": Warning, "delivery limit": OK, "dead-lettering": OK}},
		{"stream", map[string]string{"x-queue-type": "stream"}, version{3, 10},
			map[string]Verdict{"queue type": Problem, "delivery limit": OK, "dead-lettering": OK}},
		{"at-least-once without its condition", map[string]string{
			"x-queue-type": "quorum", "x-delivery-limit": "5", "x-dead-letter-exchange": "", "x-dead-letter-strategy": "at-least-once",
		}, version{3, 10}, map[string]Verdict{"queue type": OK, "delivery limit": OK, "dead-lettering": Warning}},
		{"what loses messages", map[string]string{
			"x-queue-type": "quorum", "x-message-ttl": "1000", "x-max-length": "10", "x-single-active-consumer": "true",
		}, version{3, 10}, map[string]Verdict{
			"queue type": OK, "delivery limit": OK, "dead-lettering": OK,
			"message TTL": Warning, "length limit": Warning, "single active consumer": OK,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.arguments(tt.set, tt.server)
			got := map[string]Verdict{}
			for _, f := range r {
				got[f.Name] = f.Verdict
				if f.Verdict != OK {
					require.NotEmpty(t, f.Advice)
				}
			}
			require.Equal(t, tt.want, got)
		})
	}
}
