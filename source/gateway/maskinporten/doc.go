// Package maskinporten has the tokens of Maskinporten, Digdir's token service,
// for backends that want them, as a value of [gateway.Config].Auth. They are got
// by the JWT bearer grant (RFC 7523) and kept as package auth says.
//
// What it promises of the assertions that it signs:
//   - The algorithm is RS256. The header holds the id of the key, or the
//     certificates of the key, or both, as configured.
//   - The claims are aud, iss, iat, exp, jti, scope, and resource if configured:
//     others are refused.
//   - Each is made for one request, has a jti of its own and lives 60 s. The
//     service takes up to 120 s, and clocks that differ by less than 10 s.
//   - The key is read for each, so that a new one is in use with the next token.
//   - They go to the token endpoint only. Neither they nor the key are in an
//     error or in anything that is printed.
package maskinporten
