package s3

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Config{
		"s3://boxes":               {Bucket: "boxes"},
		"s3://boxes/":              {Bucket: "boxes"},
		"s3://boxes/a/b/?region=x": {Bucket: "boxes", Prefix: "a/b/", Region: "x"},
		"s3://b/p?endpoint=http%3A%2F%2F127.0.0.1:9000%2F&path_style=true&part_size=64&public_endpoint=https://s3.example.org": {
			Bucket: "b", Prefix: "p/", Endpoint: "http://127.0.0.1:9000", PublicEndpoint: "https://s3.example.org", PathStyle: true, PartSize: 64 << 20},
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                           "want s3://BUCKET",
		"/var/lib/blobs":             "want s3://BUCKET",
		"s3:///prefix":               "want s3://BUCKET",
		"http://boxes/":              "want s3://BUCKET",
		"s3://key:secret@boxes":      "takes no keys",
		"s3://boxes?endpoint=minio":  "endpoint: want a URL",
		"s3://boxes?path_style=nice": "path_style",
		"s3://boxes?part_size=4":     "from 5 to 1024",
		"s3://boxes?secret=x":        `"secret" is not known`,
		"s3://boxes?endpoint=http://secret:x@host": "want a URL",
	} {
		if got, err := ParseURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret:") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("s3://boxes/prefix?endpoint=http://127.0.0.1:9000&region=r&path_style=1&part_size=8")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseURL(text)
		if err == nil && (c.Bucket == "" || c.Prefix != "" && !strings.HasSuffix(c.Prefix, "/")) {
			t.Errorf("%q: %+v", text, c)
		}
	})
}
