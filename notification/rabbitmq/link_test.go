package rabbitmq

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCallsToASilentBrokerEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broker := net.Pipe()
		defer broker.Close()
		l := &link{raw: &wire{Conn: client}}
		began := time.Now()
		err := l.call(t.Context(), "consume", func() error {
			_, err := client.Read(make([]byte, 1)) // as the library waits
			return err
		})
		require.EqualError(t, err, "rabbitmq: consume: no answer in time")
		require.Equal(t, callTimeout, time.Since(began))
	})
}

func TestCallsEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broker := net.Pipe()
		defer broker.Close()
		l := &link{raw: &wire{Conn: client}}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(ErrClosed) })
		err := l.call(ctx, "consume", func() error {
			_, err := client.Read(make([]byte, 1))
			return err
		})
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestWritesToASilentBrokerEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broker := net.Pipe()
		defer client.Close()
		defer broker.Close()
		began := time.Now()
		_, err := (&wire{Conn: client}).Write([]byte("x")) // nobody reads
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, writeTimeout, time.Since(began))
	})
}

// Who writes holds what the client library needs to give a connection up.
func TestSilenceEndsWritesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broker := net.Pipe()
		defer broker.Close()
		w := &wire{Conn: client}
		const patience = 15 * time.Second
		w.arm(patience)
		began := time.Now()
		var reader sync.WaitGroup
		reader.Go(func() { _, _ = w.Read(make([]byte, 1)) })
		_, err := w.Write([]byte("x")) // nobody reads, and nobody says anything
		require.Error(t, err)
		require.Equal(t, patience, time.Since(began))
		reader.Wait()
		require.True(t, w.silent.Load())
	})
}
