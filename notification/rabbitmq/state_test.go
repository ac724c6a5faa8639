package rabbitmq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
)

func TestStateFollowsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker("queue", Connecting)
		began := time.Now()
		time.Sleep(time.Second)
		require.True(t, tr.lost(errCut))
		require.Equal(t, State{
			Name: "queue", Phase: Connecting, Since: began,
			LastError: errCut, LastErrorAt: began.Add(time.Second),
		}, tr.get())
		time.Sleep(time.Second)
		require.True(t, tr.up("a:1"))
		require.Equal(t, began.Add(2*time.Second), tr.get().Since)
		require.Equal(t, Ready, tr.get().Phase)
		require.Zero(t, tr.get().Reconnects)

		tr.block("memory")
		require.Equal(t, Blocked, tr.get().Phase)
		require.Equal(t, "memory", tr.get().Reason)
		tr.block("memory and disk")
		require.Equal(t, "memory and disk", tr.get().Reason)
		tr.block("")
		require.Equal(t, Ready, tr.get().Phase)
		require.Empty(t, tr.get().Reason)

		tr.block("memory")
		require.True(t, tr.lost(errCut))
		require.Empty(t, tr.get().Reason, "a lost connection is not blocked")
		tr.block("")
		require.Equal(t, Connecting, tr.get().Phase, "the end of an old connection")
		require.True(t, tr.up("b:2"))
		require.Equal(t, 1, tr.get().Reconnects)
		require.Equal(t, "b:2", tr.get().Host)
		require.Equal(t, errCut, tr.get().LastError, "it stays")
	})
}

func TestOneLineForEachChange(t *testing.T) {
	refusal := func(code int, reason string) error {
		return fmt.Errorf("x: %w", &amqp.Error{Code: code, Reason: reason, Server: true})
	}
	network := errors.New("dial tcp: refused")
	tests := []struct {
		name   string
		losses []error
		want   []bool
	}{
		{"the same", []error{network, network}, []bool{true, false}},
		{"other hosts", []error{network, errors.New("another: refused"), errSilent}, []bool{true, false, false}},
		{"another reason", []error{network, refusal(403, "a"), refusal(403, "b"), network}, []bool{true, true, true, true}},
		{"a deleted queue", []error{errCancelled, refusal(404, "no queue"), refusal(404, "no queue")}, []bool{true, false, false}},
		{"a certificate", []error{network, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, network}, []bool{true, true, true}},
		{"credentials", []error{network, fmt.Errorf("%w: the vault is closed", errCredentials), network}, []bool{true, true, true}},
		{"a node that stops", []error{refusal(amqp.ConnectionForced, "shutdown"), network}, []bool{true, false}},
		{"our own error", []error{network, &amqp.Error{Code: 501}}, []bool{true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTracker("queue", Connecting)
			require.True(t, tr.up("a"), "the first connection is news")
			for i, err := range tt.losses {
				require.Equal(t, tt.want[i], tr.lost(err), i)
			}
			require.True(t, tr.up("a"))
			require.False(t, tr.up("a"), "no loss before it")
			require.True(t, tr.lost(network))
			tr.connected("a")
			require.True(t, tr.well())
			require.False(t, tr.well())
		})
	}
}
