package cloud

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/johannesboyne/gofakes3"
)

// s3Actions are what S3 answers to, in path style; the protocol is gofakes3's.
var s3Actions = []string{
	"ListBuckets", "CreateBucket", "HeadBucket", "DeleteBucket", "GetBucketLocation", "ListObjects", "ListObjectsV2", "DeleteObjects",
	"PutObject", "CopyObject", "GetObject", "HeadObject", "DeleteObject",
	"CreateMultipartUpload", "UploadPart", "ListParts", "ListMultipartUploads", "CompleteMultipartUpload", "AbortMultipartUpload",
}

// s3Action names what a request asks S3 for, and the bucket.
func s3Action(r *http.Request) (name, bucket string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case bucket == "":
		return "ListBuckets", ""
	case key == "":
		return bucketAction(r), bucket
	}
	return objectAction(r), bucket
}

func bucketAction(r *http.Request) string {
	q := r.URL.Query()
	for _, sub := range []struct{ method, query, name string }{
		{http.MethodGet, "location", "GetBucketLocation"}, {http.MethodGet, "uploads", "ListMultipartUploads"}, {http.MethodPost, "delete", "DeleteObjects"},
		{http.MethodGet, "list-type", "ListObjectsV2"},
	} {
		if r.Method == sub.method && q.Has(sub.query) {
			return sub.name
		}
	}
	for key := range q {
		if !slices.Contains([]string{"prefix", "delimiter", "marker", "max-keys", "encoding-type", "x-id"}, key) {
			return "?" + key
		}
	}
	return map[string]string{http.MethodGet: "ListObjects", http.MethodPut: "CreateBucket", http.MethodHead: "HeadBucket", http.MethodDelete: "DeleteBucket"}[r.Method]
}

func objectAction(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("uploadId"):
		return map[string]string{http.MethodPut: "UploadPart", http.MethodGet: "ListParts", http.MethodPost: "CompleteMultipartUpload", http.MethodDelete: "AbortMultipartUpload"}[r.Method]
	case q.Has("uploads"):
		return "CreateMultipartUpload"
	case r.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	case q.Has("tagging"), q.Has("acl"):
		return "?" + r.URL.RawQuery
	}
	return map[string]string{http.MethodPut: "PutObject", http.MethodGet: "GetObject", http.MethodHead: "HeadObject", http.MethodDelete: "DeleteObject"}[r.Method]
}

// AddBucket makes a bucket that is there from the beginning.
func (c *Cloud) AddBucket(region, name string) error {
	if err := c.buckets.CreateBucket(name); err != nil {
		return err
	}
	c.buckets.place(name, region, true)
	return nil
}

// s3 answers a request of S3.
func (c *Cloud) s3(w http.ResponseWriter, r *http.Request, s scope, name, bucket string) {
	c.mu.Lock()
	err := c.admitS3(r, s, name, bucket)
	c.mu.Unlock()
	if err == nil {
		err = unchunk(r)
	}
	if err != nil {
		c.cfg.Log.Info("refused", "action", name, "path", r.URL.Path, "err", err)
		failS3(w, err)
		return
	}
	c.cfg.Log.Info("asked", "action", name, "path", r.URL.Path)
	placed := &lateWriter{ResponseWriter: w, before: func() {
		if name == "CreateBucket" {
			c.buckets.place(bucket, s.region, false)
		}
	}}
	c.protocol.ServeHTTP(placed, r)
	placed.begin()
}

func (c *Cloud) admitS3(r *http.Request, s scope, name, bucket string) error {
	if !slices.Contains(s3Actions, name) {
		return &Error{Status: http.StatusNotImplemented, Code: "NotImplemented", Message: "A header you provided implies functionality that is not implemented: " + name}
	}
	if _, err := c.admit(name, s, r); err != nil {
		return err
	}
	if where, found := c.buckets.regionOf(bucket); found && where != s.region && name != "GetBucketLocation" {
		return &Error{Status: http.StatusBadRequest, Code: "AuthorizationHeaderMalformed",
			Message: fmt.Sprintf("The authorization header is malformed; the region '%s' is wrong; expecting '%s'", s.region, where)}
	}
	return nil
}

// s3Codes are those of S3 for the codes of EC2 that faults name.
var s3Codes = map[string]string{"RequestLimitExceeded": "SlowDown", "Throttling": "SlowDown", "Unavailable": "ServiceUnavailable", "AuthFailure": "InvalidAccessKeyId", "RequestExpired": "ExpiredToken"}

func failS3(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Status: http.StatusInternalServerError, Code: "InternalError", Message: err.Error()}
	}
	code := e.Code
	if theirs, other := s3Codes[code]; other {
		code = theirs
	}
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: e.Message})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeBody(w, e.Status, append([]byte(xml.Header), body...))
}

// unchunk takes the chunks of aws-chunked bodies apart, whose signatures and trailers nobody looks at here. gofakes3 knows only
// one kind of them, and only of objects that come in one piece.
func unchunk(r *http.Request) error {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil
	}
	size, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil {
		return &Error{Status: http.StatusLengthRequired, Code: "MissingContentLength", Message: "You must provide the Content-Length HTTP header."}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{&unchunked{r: bufio.NewReader(r.Body)}, r.Body}
	r.ContentLength = size
	r.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	return nil
}

// unchunked reads SIZE;chunk-signature=X CRLF DATA CRLF ... 0 CRLF TRAILERS.
type unchunked struct {
	r    *bufio.Reader
	left int64
	end  bool
}

// Read implements io.Reader.
func (u *unchunked) Read(p []byte) (int, error) {
	if u.end {
		return 0, io.EOF
	}
	if u.left == 0 {
		if err := u.next(); err != nil {
			return 0, err
		}
		return u.Read(p)
	}
	n, err := u.r.Read(p[:min(int64(len(p)), u.left)])
	if u.left -= int64(n); err == nil && u.left == 0 {
		_, err = u.r.Discard(2)
	}
	return n, err
}

func (u *unchunked) next() error {
	line, err := u.r.ReadString('\n')
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
	u.left, err = strconv.ParseInt(size, 16, 64)
	u.end = u.left == 0
	return err
}

var _ gofakes3.MultipartBackend = (*buckets)(nil)
