package kubelet

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recordedFull returns the recorded answers in the full form.
func recordedFull(t testing.TB) [][]byte {
	t.Helper()
	return bytes.Split(bytes.TrimSpace(unpack(t, "summary-full.jsonl.zst")), []byte{'\n'})
}

// recordedLight returns the recorded answer in the light form.
func recordedLight(t testing.TB) []byte {
	t.Helper()
	return unpack(t, "summary-light.json.zst")
}

func unpack(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
