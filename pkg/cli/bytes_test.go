package cli

import "testing"

func TestBytes(t *testing.T) {
	for in, want := range map[string]string{
		"134217728": "128Mi", "128Mi": "128Mi", "128MiB": "128Mi", "2048Mi": "2Gi", "1500": "1500", "0": "0", "3Ki": "3Ki", "7B": "7",
	} {
		var b Bytes
		if err := b.Set(in); err != nil || b.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, b.String(), err, want)
		}
	}
	for _, in := range []string{"", "Mi", "-1", "1.5Gi", "1e9", "12 Mi", "9999999999Gi", "99999999999999999999", "128M"} {
		var b Bytes
		if b.Set(in) == nil {
			t.Errorf("%q is %s", in, b.String())
		}
	}
}
