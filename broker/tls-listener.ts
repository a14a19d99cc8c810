/**
 * MQTT over TLS 1.2 or newer, with mutual TLS where authorities for devices are given. A certificate that is presented
 * must be good; without one the device needs its secret, unless certificates are required. Files are read again when
 * they change or on demand; connections stay, except those whose certificate is revoked by then. Handshakes wait for
 * their turn: see `handshake-queue.ts`.
 */
import { constants, type X509Certificate } from 'node:crypto';
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { errorText } from '../contract/kernel/errors.ts';
import { parseClientId } from '../contract/kernel/ids.ts';
import type { Logger, Metrics } from '../contract/ports/services.ts';
import { type CertificatePaths, type CertificateSet, normalSerial, readCertificates } from './certificate-files.ts';
import type { Connection } from './connection.ts';
import { createHandshakeQueue, type HandshakeLimits, type HandshakeQueue } from './handshake-queue.ts';
import { type Door, type ListenAddress, type Listener, listen, type PeerIdentity, prepareSocket } from './listener.ts';

export interface TlsOptions extends ListenAddress, CertificatePaths {
  /** Whether a device must present a certificate; with `optional` it may log in with its secret instead. */
  readonly clientCertificate: 'optional' | 'required';
  /** How often the files are looked at. */
  readonly watchIntervalMs?: number;
}

const WATCH_INTERVAL_MS = 2_000;

interface TlsNeeds {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export function createTlsListener(
  options: TlsOptions,
  limits: HandshakeLimits,
  { logger, metrics }: TlsNeeds,
): Listener {
  /** Takes sockets in; TLS gets each when its turn has come. */
  let server: TcpServer | undefined;
  let tls: Server | undefined;
  let handshakes: HandshakeQueue | undefined;
  let current: CertificateSet | undefined;
  let door: Door | undefined;
  let watch: NodeJS.Timeout | undefined;
  /** by remote address and port: TLS hands over another object than the socket that was admitted */
  const admitted = new Map<string, Connection>();

  function secured(socket: TLSSocket): void {
    const connection = admitted.get(keyOf(socket));
    if (!connection || !door) {
      socket.destroy();
      return;
    }
    handshakes?.done(connection);
    const verdict = judgePeer(socket, options);
    // The list may have come after this handshake began.
    const revoked = verdict.kind === 'good' && current?.revoked.has(verdict.peer?.serial ?? '');
    if (verdict.kind === 'refused' || revoked) {
      connection.suspect = suspectOf(socket);
      refuse(connection, socket, verdict.kind === 'refused' ? verdict.detail : 'the certificate is revoked');
    } else door.take(connection, socket, verdict.peer ? { peer: verdict.peer } : {});
  }

  function refuse(connection: Connection, socket: TLSSocket, detail: string): void {
    socket.on('error', () => {}); // It is being thrown away; how it broke does not matter.
    // Destroying the socket below instead, while TLS is at work on it, crashes Node.
    connection.stream = socket;
    door?.refuse(connection, 'MQTT_CERTIFICATE', detail);
  }

  async function reload(): Promise<void> {
    try {
      const next = await readCertificates(options);
      if (!server?.listening || next.fingerprint === current?.fingerprint) return;
      tls?.setSecureContext({ ...next.context, ...FIXED });
      current = next;
      const closed = door?.closeSerials(next.revoked) ?? 0;
      logger.info({ revoked: next.revoked.size, closed }, 'the certificate files of the MQTT listener were read again');
      metrics.count('presage_mqtt_certificate_reloads_total', 'Times certificate files were read', { result: 'used' });
    } catch (error) {
      logger.error({ error: errorText(error) }, 'certificate files are not used; those from before stay');
      metrics.count('presage_mqtt_certificate_reloads_total', 'Times certificate files were read', {
        result: 'refused',
      });
    }
  }

  return {
    name: 'mqtts',
    async start(given) {
      door = given;
      current = await readCertificates(options);
      const tlsServer = createServer({
        ...current.context,
        ...FIXED,
        requestCert: options.caFile !== undefined,
        // Judged in `secured`, which can say why and to whom.
        rejectUnauthorized: false,
        // Ours ends first: Node's begins again with every byte.
        handshakeTimeout: 2 * limits.handshakeTimeoutMs,
      });
      tls = tlsServer;
      const queue = createHandshakeQueue(limits, { door: given, metrics }, (socket) =>
        tlsServer.emit('connection', socket),
      );
      handshakes = queue;
      // Before TLS begins: a handshake is work, and half of one holds memory.
      server = createTcpServer((socket) => {
        const connection = given.admit(socket, prepareSocket(socket), { loginBegins: 'later' });
        if (!connection) return;
        const key = keyOf(socket);
        admitted.set(key, connection);
        socket.once('close', () => admitted.delete(key));
        queue.arrive(socket, connection);
      });
      tlsServer.on('secureConnection', secured);
      tlsServer.on('tlsClientError', (error, socket) => {
        const connection = admitted.get(keyOf(socket));
        if (connection) refuse(connection, socket, `handshake: ${errorText(error)}`);
        else socket.destroy();
      });
      watch = setInterval(() => void reload(), options.watchIntervalMs ?? WATCH_INTERVAL_MS).unref();
      return listen(server, options);
    },
    stop() {
      clearInterval(watch);
      server?.close();
    },
    reload,
  };
}

/**
 * No session tickets: a session that is resumed skips the check of its certificate, so a revoked one would still open
 * the door.
 */
const FIXED = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } as const;

function keyOf(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

type PeerVerdict =
  | { readonly kind: 'good'; readonly peer?: PeerIdentity }
  | { readonly kind: 'refused'; readonly detail: string };

function judgePeer(socket: TLSSocket, options: TlsOptions): PeerVerdict {
  if (options.caFile === undefined) return { kind: 'good' };
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) {
    if (options.clientCertificate === 'optional') return { kind: 'good' };
    return { kind: 'refused', detail: 'no certificate was presented' };
  }
  // Chain, dates, purpose and revocation, as OpenSSL judged them in the handshake.
  if (!socket.authorized) return { kind: 'refused', detail: `certificate: ${String(socket.authorizationError)}` };
  const commonName = commonNameOf(certificate);
  if (commonName === undefined) return { kind: 'refused', detail: 'the certificate has not exactly one common name' };
  return { kind: 'good', peer: { commonName, serial: normalSerial(certificate.serialNumber) } };
}

function commonNameOf(certificate: X509Certificate): string | undefined {
  const names = String(certificate.subject)
    .split('\n')
    .filter((line) => line.startsWith('CN='));
  return names.length === 1 ? names[0]?.slice(3) : undefined;
}

/** Whom a certificate names that was refused. Anybody can write any name into one. */
function suspectOf(socket: TLSSocket): Connection['suspect'] {
  const certificate = socket.getPeerX509Certificate();
  const ref = parseClientId((certificate && commonNameOf(certificate)) ?? '');
  return certificate && ref && { ref, certificateSerial: normalSerial(certificate.serialNumber) };
}
