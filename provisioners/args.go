package provisioners

import "github.com/boxkiln/boxkiln/internal/schema"

// CommunicatorArgs choose how the guest is reached. Source: packer-plugin-sdk communicator/config.go.
type CommunicatorArgs struct {
	Communicator          string          `json:"communicator" doc:"ssh (default), winrm or none." guest:"artifact"`
	PauseBeforeConnecting schema.Duration `json:"pause_before_connecting" doc:"Wait after the guest first answers, then connect." guest:"no"`
}

// SSHArgs are the arguments of the ssh communicator.
type SSHArgs struct {
	Host                   string          `json:"ssh_host" doc:"Address of the guest, if the driver should not find it." guest:"no"`
	Port                   int             `json:"ssh_port" doc:"Port of sshd in the guest. Default 22." guest:"no"`
	Username               string          `json:"ssh_username" doc:"User to log in as." guest:"no"`
	Password               string          `json:"ssh_password" doc:"Password of that user." arg:"sensitive" guest:"no"`
	PrivateKeyFile         string          `json:"ssh_private_key_file" doc:"Private key to log in with." guest:"no"`
	CertificateFile        string          `json:"ssh_certificate_file" doc:"Certificate of that key." guest:"no"`
	AgentAuth              bool            `json:"ssh_agent_auth" doc:"Use the keys of the running SSH agent." guest:"no"`
	DisableAgentForwarding bool            `json:"ssh_disable_agent_forwarding" doc:"Do not forward the agent into the guest." guest:"no"`
	Timeout                schema.Duration `json:"ssh_timeout" doc:"How long the guest may take until a login works. Default 5m." guest:"no"`
	WaitTimeout            schema.Duration `json:"ssh_wait_timeout" doc:"Old name of ssh_timeout." guest:"no"`
	HandshakeAttempts      int             `json:"ssh_handshake_attempts" doc:"Refused logins until the wait ends. Default 10." guest:"no"`
	PTY                    bool            `json:"ssh_pty" doc:"Ask for a terminal." guest:"no"`
	FileTransferMethod     string          `json:"ssh_file_transfer_method" doc:"sftp (default, with a fall-back) or scp." guest:"no"`
	KeepAliveInterval      schema.Duration `json:"ssh_keep_alive_interval" doc:"Time between keep-alives; -1s for none. Default 5s." guest:"no"`
	ReadWriteTimeout       schema.Duration `json:"ssh_read_write_timeout" doc:"End a connection that is silent for this long." guest:"no"`
	Ciphers                []string        `json:"ssh_ciphers" doc:"Ciphers to offer." guest:"no"`
	KeyExchangeAlgorithms  []string        `json:"ssh_key_exchange_algorithms" doc:"Key exchanges to offer." guest:"no"`
	ClearAuthorizedKeys    bool            `json:"ssh_clear_authorized_keys" doc:"Remove the temporary key from the guest at the end." guest:"artifact"`
	RemoteTunnels          []string        `json:"ssh_remote_tunnels" doc:"Ports of the guest forwarded to this side." guest:"no"`
	LocalTunnels           []string        `json:"ssh_local_tunnels" doc:"Ports of this side forwarded to the guest's." guest:"no"`
}

// TemporaryKeyArgs are about the key pair made for one build.
type TemporaryKeyArgs struct {
	Name string `json:"temporary_key_pair_name" doc:"Name of the temporary key pair." guest:"no"`
	Type string `json:"temporary_key_pair_type" doc:"ed25519 (default), rsa or ecdsa." guest:"yes"`
	Bits int    `json:"temporary_key_pair_bits" doc:"Size of an rsa or ecdsa key." guest:"yes"`
	// KeypairName is an existing pair in a cloud.
	KeypairName string `json:"ssh_keypair_name" doc:"Name of an existing key pair in a cloud." guest:"no"`
}

// BastionArgs are about a host between here and the guest.
type BastionArgs struct {
	Host           string `json:"ssh_bastion_host" doc:"Jump host." guest:"no"`
	Port           int    `json:"ssh_bastion_port" doc:"Its port. Default 22." guest:"no"`
	AgentAuth      bool   `json:"ssh_bastion_agent_auth" doc:"Use the agent's keys there." guest:"no"`
	Username       string `json:"ssh_bastion_username" doc:"User there." guest:"no"`
	Password       string `json:"ssh_bastion_password" doc:"Password there." arg:"sensitive" guest:"no"`
	Interactive    bool   `json:"ssh_bastion_interactive" doc:"Taken for Packer templates; keyboard-interactive with the password." guest:"no"`
	PrivateKeyFile string `json:"ssh_bastion_private_key_file" doc:"Private key for it." guest:"no"`
	Certificate    string `json:"ssh_bastion_certificate_file" doc:"Certificate of that key." guest:"no"`
	ProxyHost      string `json:"ssh_proxy_host" doc:"SOCKS5 proxy to connect through." guest:"no"`
	ProxyPort      int    `json:"ssh_proxy_port" doc:"Its port. Default 1080." guest:"no"`
	ProxyUsername  string `json:"ssh_proxy_username" doc:"User of the proxy." guest:"no"`
	ProxyPassword  string `json:"ssh_proxy_password" doc:"Password of the proxy." arg:"sensitive" guest:"no"`
}

// WinRMArgs are the arguments of the winrm communicator.
type WinRMArgs struct {
	Username string          `json:"winrm_username" doc:"User to log in as." guest:"no"`
	Password string          `json:"winrm_password" doc:"Password of that user." arg:"sensitive" guest:"no"`
	Host     string          `json:"winrm_host" doc:"Address of the guest, if the driver should not find it." guest:"no"`
	NoProxy  bool            `json:"winrm_no_proxy" doc:"Bypass HTTP proxies." guest:"no"`
	Port     int             `json:"winrm_port" doc:"Default 5985, or 5986 with TLS." guest:"no"`
	Timeout  schema.Duration `json:"winrm_timeout" doc:"How long the guest may take until a login works. Default 30m." guest:"no"`
	UseSSL   bool            `json:"winrm_use_ssl" doc:"Use HTTPS." guest:"no"`
	Insecure bool            `json:"winrm_insecure" doc:"Do not check the certificate." guest:"no"`
	UseNTLM  bool            `json:"winrm_use_ntlm" doc:"Use NTLM instead of basic authentication." guest:"no"`
}
