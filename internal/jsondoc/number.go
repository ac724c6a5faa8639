package jsondoc

import (
	"encoding/json"
	"strconv"
	"strings"
)

// equalNumbers compares by value, without computing with numbers of any size:
// 1e999999999 comes from others too.
func equalNumbers(a, b json.Number) bool {
	return a == b || normal(string(a)) == normal(string(b))
}

// normal returns a text that is the same for all ways to write a number: its
// sign, its digits without zeros at both ends, and the power of ten that they
// are to be multiplied with. What is too far out, or no number, stays as it is.
func normal(number string) string {
	mantissa, sign := strings.CutPrefix(number, "-")
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(mantissa), "e")
	power := 0
	if scientific {
		n, err := strconv.ParseInt(exponent, 10, 32)
		if err != nil {
			return number
		}
		power = int(n)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return number
	}
	power -= len(fraction)
	digits = strings.TrimLeft(digits, "0")
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0"
	}
	power += len(digits) - len(short)
	text := short + "e" + strconv.Itoa(power)
	if sign {
		return "-" + text
	}
	return text
}
