package auth_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/konnektor-go/konnektor/source/gateway/auth"
)

// BenchmarkFile looks at the file of a key for each request.
func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "key")
	if err := os.WriteFile(path, []byte("5e1f-the-key-of-36-bytes-as-gravitee\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		b.Fatal(err)
	}
	a, err := auth.APIKey(auth.File(path))
	if err != nil {
		b.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, base, http.NoBody)
	for b.Loop() {
		if err := a.Authenticate(req); err != nil {
			b.Fatal(err)
		}
	}
}
