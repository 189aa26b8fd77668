# The web server and its default page.
class nginx {
  package { 'nginx':
    ensure => installed,
  }

  file { '/usr/share/nginx/www/index.html':
    content => template('nginx/index.html.erb'),
    require => Package['nginx'],
  }

  service { 'nginx':
    ensure  => running,
    enable  => true,
    require => Package['nginx'],
  }
}
