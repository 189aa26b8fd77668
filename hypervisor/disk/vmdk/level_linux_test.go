package vmdk

import (
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLevel is where the figures on levels in docs/benchmarks.md come from. VMDK_SOURCE names a raw image. It tells
// processor time, because a busy machine has other times on the clock.
func BenchmarkLevel(b *testing.B) {
	path := os.Getenv("VMDK_SOURCE")
	if path == "" {
		b.Skip("VMDK_SOURCE names no raw image")
	}
	src, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		b.Fatal(err)
	}
	for level := 1; level <= 9; level++ {
		b.Run(strconv.Itoa(level), func(b *testing.B) {
			var n counter
			before := processorTime(b)
			for range b.N {
				n = 0
				if err := WriteStream(b.Context(), &n, src, StreamOptions{Size: st.Size(), Level: level, Parallel: 1}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/1e6, "MB")
			b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
