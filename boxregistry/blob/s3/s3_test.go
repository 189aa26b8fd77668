package s3

import (
	"testing"

	"github.com/boxkiln/boxkiln/boxregistry/blob"
	"github.com/boxkiln/boxkiln/boxregistry/blob/blobtest"
	"github.com/boxkiln/boxkiln/boxregistry/blob/s3/s3test"
	"github.com/boxkiln/boxkiln/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// configFor is the configuration of a store with a prefix of its own.
func configFor(s s3test.Service, prefix string) Config {
	return Config{
		Bucket: s.Bucket, Prefix: prefix + "/", Endpoint: s.Endpoint, Region: s.Region, PathStyle: true,
		Credentials: s.Credentials(), Owner: "this installation",
	}
}

func open(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// services are those that every test of the store runs against.
func services(t *testing.T, test func(t *testing.T, s s3test.Service)) {
	for name, start := range map[string]func(*testing.T) s3test.Service{"gofakes3": s3test.Fake, "versitygw": s3test.Gateway} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	services(t, func(t *testing.T, service s3test.Service) {
		blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, configFor(service, t.Name())) })
	})
}

// TestConformanceInParts sends everything in parts of a few bytes where the service takes such.
func TestConformanceInParts(t *testing.T) {
	t.Parallel()
	service := s3test.Fake(t)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s := open(t, configFor(service, t.Name()))
		s.firstPart = 100 << 10
		return s
	})
}
