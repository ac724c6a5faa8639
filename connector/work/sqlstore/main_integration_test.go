//go:build integration

package sqlstore

import (
	"testing"

	"github.com/konnektor-go/konnektor/internal/server"
)

func runTests(m *testing.M) { server.Main(m) }
