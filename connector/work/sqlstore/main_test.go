//go:build !integration

package sqlstore

import (
	"os"
	"testing"
)

func runTests(m *testing.M) { os.Exit(m.Run()) }
