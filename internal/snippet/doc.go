// Package snippet keeps the Go code in Markdown equal to code that is compiled
// and tested. The comment before a block names where its code comes from:
//
//	<!-- snippet: examples/quickstart/main.go#flow -->
//
// It is the region between the lines "// snippet:flow" and "// end:flow" of that
// file, or the whole file where no name is given.
//   - A block is the region without the indentation that all its lines share,
//     without empty lines around it, and without the marks of other regions.
//   - Every block of Go code needs such a comment. One that cannot be compiled
//     says why: "<!-- snippet: none, what is wrong with polling -->".
//   - A comment without a block, and a file or region that is not there or not
//     compiled, is an error, too.
//   - All else in the Markdown stays as it is, byte for byte.
//
// This package's test checks README.md and docs/; its flag -update, or "make
// snippets", writes the blocks.
package snippet
