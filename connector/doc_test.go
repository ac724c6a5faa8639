package connector_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPromisesNameTheirTests holds the package comment to its word: each promise
// names a test that there is.
func TestPromisesNameTheirTests(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	here, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	below, err := filepath.Glob("*/*_test.go")
	require.NoError(t, err)
	tests := make(map[string]bool)
	for _, file := range append(here, below...) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			tests[found[1]] = true
		}
	}
	promises, _, _ := strings.Cut(string(doc), "// It does not promise")
	named := regexp.MustCompile(`Test\w+`)
	for _, name := range named.FindAllString(promises, -1) {
		require.True(t, tests[name], "there is no %s", name)
	}
	bullets := strings.Split(promises, "//   - ")[1:]
	require.NotEmpty(t, bullets)
	for _, bullet := range bullets {
		require.Regexp(t, named, bullet)
	}
}
