package account

import (
	"cmp"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 is what is asked of S3, for what the service imports from there.
type S3 struct {
	AbortMultipartUpload    Call[s3.AbortMultipartUploadInput, s3.AbortMultipartUploadOutput]
	CompleteMultipartUpload Call[s3.CompleteMultipartUploadInput, s3.CompleteMultipartUploadOutput]
	CreateMultipartUpload   Call[s3.CreateMultipartUploadInput, s3.CreateMultipartUploadOutput]
	DeleteObject            Call[s3.DeleteObjectInput, s3.DeleteObjectOutput]
	ListMultipartUploads    Call[s3.ListMultipartUploadsInput, s3.ListMultipartUploadsOutput]
	UploadPart              Call[s3.UploadPartInput, s3.UploadPartOutput]
}

// S3 returns the calls of S3 in a region; "" is that of the access. At an address that AWS_ENDPOINT_URL_S3 or custom_endpoint_ec2
// names, the bucket is part of the path and not of the name of the host.
func (a *Account) S3(region string) S3 {
	c := a.config.Copy()
	c.Region = cmp.Or(region, c.Region)
	client := s3.NewFromConfig(c, func(o *s3.Options) {
		o.BaseEndpoint = a.access.endpoint(o.BaseEndpoint)
		o.UsePathStyle = o.BaseEndpoint != nil
		// Not every service that speaks S3 knows the newer checksums, and the signature holds one already.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return S3{
		AbortMultipartUpload:    explained("s3:AbortMultipartUpload", client.AbortMultipartUpload),
		CompleteMultipartUpload: explained("s3:CompleteMultipartUpload", client.CompleteMultipartUpload),
		CreateMultipartUpload:   explained("s3:CreateMultipartUpload", client.CreateMultipartUpload),
		DeleteObject:            explained("s3:DeleteObject", client.DeleteObject),
		ListMultipartUploads:    explained("s3:ListMultipartUploads", client.ListMultipartUploads),
		UploadPart:              explained("s3:UploadPart", client.UploadPart),
	}
}

// Once returns the same account for a caller that tries again itself, and makes up to parallel calls at once: each is made once, and on
// a connection that stays for the next. (The SDK keeps 10 to a host, and would open most of them anew for each call.)
func (a *Account) Once(parallel int) *Account {
	once := *a
	once.access.Tries = 1
	once.config.Retryer = once.access.retryer
	client, ok := once.config.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	once.config.HTTPClient = client.WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = parallel })
	return &once
}
