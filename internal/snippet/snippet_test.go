package snippet

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the code into README.md and docs/")

// TestDocs checks the repository's own Markdown.
func TestDocs(t *testing.T) {
	root := os.DirFS(filepath.Join("..", ".."))
	for _, file := range markdownFiles(t, root) {
		t.Run(file, func(t *testing.T) {
			before, err := fs.ReadFile(root, file)
			require.NoError(t, err)
			after, err := Fill(root, string(before))
			require.NoError(t, err)
			if *update && after != string(before) {
				name := filepath.Join("..", "..", filepath.FromSlash(file))
				require.NoError(t, os.WriteFile(name, []byte(after), 0o644))
				return
			}
			require.Equal(t, after, string(before), "%s shows code that has changed: run make snippets", file)
		})
	}
}

// markdownFiles lists README.md and all of docs, as far as they are there.
func markdownFiles(t *testing.T, root fs.FS) []string {
	t.Helper()
	files, err := fs.Glob(root, "README.md")
	require.NoError(t, err)
	err = fs.WalkDir(root, "docs", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path.Ext(file) == ".md" {
			files = append(files, file)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	require.NoError(t, err)
	return files
}

func TestMarkdownFiles(t *testing.T) {
	root := fstest.MapFS{
		"README.md":                  {},
		"CONTRIBUTING.md":            {},
		"docs/guide.md":              {},
		"docs/decisions/deep/one.md": {},
		"docs/picture.svg":           {},
		"sink/README.md":             {},
	}
	require.Equal(t, []string{"README.md", "docs/decisions/deep/one.md", "docs/guide.md"}, markdownFiles(t, root))
	require.Empty(t, markdownFiles(t, fstest.MapFS{}))
}

const program = `// Package main is a program.
package main

func main() {
	// snippet:outer
	before()

	// snippet:inner
	if true {
		inside()
	}
	// end:inner
	// end:outer
}

// snippet:doc

// helper has a comment.
func helper() {}

// end:doc

// snippet:empty
// end:empty

// snippet:twice
// end:twice
// snippet:twice
// end:twice

// end:backwards
// snippet:backwards

// snippet:open
`

func files() fs.FS {
	return fstest.MapFS{
		"a/main.go":          {Data: []byte(program)},
		"a/whole.go":         {Data: []byte("package a\n\n// snippet:x\nvar X = 1\n\n// end:x\n")},
		"a/fence.go":         {Data: []byte("package a\n\nconst x = `\n```\n`\n")},
		"a/testdata/main.go": {Data: []byte("package main\n")},
		"_a/main.go":         {Data: []byte("package main\n")},
		"a/main.txt":         {Data: []byte("text\n")},
	}
}

func TestRegion(t *testing.T) {
	tests := []struct {
		name      string
		reference string
		want      string
		err       string
	}{
		{name: "region", reference: "a/main.go#inner", want: "if true {\n\tinside()\n}"},
		{name: "region with a region in it", reference: "a/main.go#outer", want: "before()\n\nif true {\n\tinside()\n}"},
		{name: "empty lines around are cut", reference: "a/main.go#doc", want: "// helper has a comment.\nfunc helper() {}"},
		{name: "whole file", reference: "a/whole.go", want: "package a\n\nvar X = 1"},

		{name: "no such region", reference: "a/main.go#inn", err: `a/main.go: has no line "// snippet:inn"`},
		{name: "region without end", reference: "a/main.go#open", err: `a/main.go: has no line "// end:open"`},
		{name: "region twice", reference: "a/main.go#twice", err: "a/main.go: line 28: // snippet:twice is there twice"},
		{name: "end before begin", reference: "a/main.go#backwards", err: "a/main.go: line 31: // end:backwards ends nothing"},
		{name: "region without code", reference: "a/main.go#empty", err: "a/main.go#empty: holds no code"},
		{name: "empty name", reference: "a/main.go#", err: "a/main.go#: has an empty name after #"},
		{
			name: "no such file", reference: "a/none.go#x",
			err: "a/none.go: cannot be read, the path is relative to the repository: file does not exist",
		},
		{
			name: "outside", reference: "../main.go#x",
			err: "../main.go: is not a Go file's path from the root of the repository",
		},
		{
			name: "absolute", reference: "/main.go#x",
			err: "/main.go: is not a Go file's path from the root of the repository",
		},
		{
			name: "not Go", reference: "a/main.txt",
			err: "a/main.txt: is not a Go file's path from the root of the repository",
		},
		{
			name: "testdata", reference: "a/testdata/main.go",
			err: "a/testdata/main.go: is not compiled, as the go command ignores testdata",
		},
		{
			name: "underscore", reference: "_a/main.go",
			err: "_a/main.go: is not compiled, as the go command ignores _a",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := region(files(), tt.reference)
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestFill(t *testing.T) {
	tests := []struct {
		name     string
		markdown string
		want     string // the same as markdown where empty
	}{
		{name: "no text"},
		{name: "no code", markdown: "# Title\n\nText, with `go` in it.\n"},
		{
			name:     "up to date",
			markdown: "a\n<!-- snippet: a/whole.go#x -->\n```go\nvar X = 1\n```\nb\n",
		},
		{
			name:     "stale",
			markdown: "a\n<!-- snippet: a/whole.go#x -->\n```go\nvar X = 2\nvar Y = 3\n```\nb\n",
			want:     "a\n<!-- snippet: a/whole.go#x -->\n```go\nvar X = 1\n```\nb\n",
		},
		{
			name:     "empty",
			markdown: "<!-- snippet: a/whole.go#x -->\n```go\n```",
			want:     "<!-- snippet: a/whole.go#x -->\n```go\nvar X = 1\n```",
		},
		{
			name:     "empty line between",
			markdown: "<!--snippet:a/whole.go#x-->\n\n```go\n```\n",
			want:     "<!--snippet:a/whole.go#x-->\n\n```go\nvar X = 1\n```\n",
		},
		{
			name:     "indented in a list",
			markdown: "- item\n\n  <!-- snippet: a/main.go#outer -->\n  ```go\n  old\n  ```\n",
			want:     "- item\n\n  <!-- snippet: a/main.go#outer -->\n  ```go\n  before()\n\n  if true {\n  \tinside()\n  }\n  ```\n",
		},
		{
			name:     "tildes, more of them, and words after the language",
			markdown: "<!-- snippet: a/whole.go#x -->\n~~~~Go title=x\n~~~\n~~~~~\n",
			want:     "<!-- snippet: a/whole.go#x -->\n~~~~Go title=x\nvar X = 1\n~~~~~\n",
		},
		{
			name:     "code with a fence in it",
			markdown: "<!-- snippet: a/fence.go -->\n````go\n````\n",
			want:     "<!-- snippet: a/fence.go -->\n````go\npackage a\n\nconst x = `\n```\n`\n````\n",
		},
		{
			name:     "not compiled, with a reason",
			markdown: "<!-- snippet: none, how not to do it -->\n```go\nfor {}\n```\n",
		},
		{
			name:     "other languages",
			markdown: "```console\n$ go test\n```\n\n```\nplain\n```\n\n```gomod\nmodule x\n```\n",
		},
		{
			name:     "a block that shows a block",
			markdown: "````md\n<!-- snippet: a/whole.go#x -->\n```go\nold\n```\n````\n",
		},
		{
			name:     "code in a line is no fence",
			markdown: "```go``` is code in a line\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.markdown
			}
			got, err := Fill(files(), tt.markdown)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

func TestFillErrors(t *testing.T) {
	const unfollowed = "no block of Go code follows the comment"
	tests := []struct {
		name     string
		markdown string
		err      string
	}{
		{
			name: "no comment", markdown: "text\n```go\nx\n```\n",
			err: "line 2: the block of Go code names no source: write <!-- snippet: path/to/file.go#name --> before it",
		},
		{
			name: "golang is Go", markdown: "```golang\nx\n```\n",
			err: "line 1: the block of Go code names no source: write <!-- snippet: path/to/file.go#name --> before it",
		},
		{
			name: "one comment serves one block", markdown: "<!-- snippet: a/whole.go#x -->\n```go\n```\n```go\n```\n",
			err: "line 4: the block of Go code names no source: write <!-- snippet: path/to/file.go#name --> before it",
		},
		{
			name: "no reason", markdown: "<!-- snippet: none -->\n```go\nx\n```\n",
			err: "line 2: the block of Go code is not compiled: say why, <!-- snippet: none, reason -->",
		},
		{
			name: "empty reason", markdown: "<!-- snippet: none, -->\n```go\nx\n```\n",
			err: "line 2: the block of Go code is not compiled: say why, <!-- snippet: none, reason -->",
		},
		{
			name: "no such region", markdown: "<!-- snippet: a/whole.go#y -->\n```go\nx\n```\n",
			err: `line 2: a/whole.go: has no line "// snippet:y"`,
		},
		{name: "text between", markdown: "<!-- snippet: a/whole.go#x -->\ntext\n", err: "line 1: " + unfollowed},
		{name: "end of the text", markdown: "<!-- snippet: a/whole.go#x -->\n\n", err: "line 1: " + unfollowed},
		{name: "another language", markdown: "<!-- snippet: a/whole.go#x -->\n```text\n```\n", err: "line 1: " + unfollowed},
		{
			name: "another comment", markdown: "<!-- snippet: a/whole.go#y -->\n<!-- snippet: a/whole.go#x -->\n```go\n```\n",
			err: "line 1: " + unfollowed,
		},
		{
			name: "empty comment", markdown: "<!-- snippet: -->\n```text\n```\n",
			err: "line 1: the comment names nothing: write path/to/file.go#name",
		},
		{name: "no end", markdown: "<!-- snippet: a/whole.go#x -->\n```go\nx\n", err: "line 2: the block of code does not end"},
		{
			name: "code that would end the block", markdown: "<!-- snippet: a/fence.go -->\n```go\n```\n",
			err: "line 2: a/fence.go: has a line that ends the block: write a longer fence",
		},
		{
			name: "several", markdown: "```go\n```\n<!-- snippet: none -->\n```go\n```\n",
			err: "line 1: the block of Go code names no source: write <!-- snippet: path/to/file.go#name --> before it\n" +
				"line 4: the block of Go code is not compiled: say why, <!-- snippet: none, reason -->",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Fill(files(), tt.markdown)
			require.EqualError(t, err, tt.err)
		})
	}
}

func TestFillTwice(t *testing.T) {
	once, err := Fill(files(), "<!-- snippet: a/main.go -->\n```go\n```\n")
	require.NoError(t, err)
	twice, err := Fill(files(), once)
	require.NoError(t, err)
	require.Equal(t, once, twice)
}
