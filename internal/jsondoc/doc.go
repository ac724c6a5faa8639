// Package jsondoc compares and writes JSON documents for targets that speak
// JSON: only what is wanted counts, and the rest is left alone.
//
// A [Doc] is the document as encoding/json reads it, with numbers as they were
// written. What a T wants is what it names in its JSON: a member that is left
// out is none of its business, and null wants it to have no value.
//
// What is equal:
//   - Members that the wanted document does not name are not compared, at
//     whatever depth, inside the elements of arrays too.
//   - null, an empty array, an empty object and what is not there are the same:
//     most servers keep only one of them. An empty string is a value.
//   - Numbers are equal if their values are: 1, 1.0 and 10e-1.
//   - Arrays are compared as a whole and in order, unless [Rules] says that one
//     is a set.
//
// No error holds a value.
package jsondoc
