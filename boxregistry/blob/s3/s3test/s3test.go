// Package s3test runs services that speak S3, for tests.
//
// [Fake] is gofakes3 inside the test's process, quick and without a look at signatures. [Gateway] is versitygw, a program
// of its own over a temporary directory, which checks the signature of every request. Both answer on loopback, with new
// keys and one empty bucket for each call.
package s3test

import (
	"context"
	"crypto/rand"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Service is where a bucket is, and what opens it. Addresses are in path style.
type Service struct {
	Endpoint, Region, Bucket, Key, Secret string
}

// Credentials are the keys in the form that the SDK takes.
func (s Service) Credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(s.Key, s.Secret, "")
}

// Client speaks to the service past the store under test.
func (s Service) Client() *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: &s.Endpoint, Region: s.Region, UsePathStyle: true, Credentials: s.Credentials(),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// Fake starts gofakes3, which ends with the test.
func Fake(t *testing.T) Service {
	t.Helper()
	server := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	s := newService(server.URL)
	s.makeBucket(t)
	return s
}

func newService(url string) Service {
	return Service{Endpoint: url, Region: "test-region-1", Bucket: "boxes", Key: "test-" + rand.Text(), Secret: rand.Text()}
}

func (s Service) makeBucket(t *testing.T) {
	t.Helper()
	if _, err := s.Client().CreateBucket(context.WithoutCancel(t.Context()), &awss3.CreateBucketInput{Bucket: &s.Bucket}); err != nil {
		t.Fatal(err)
	}
}
