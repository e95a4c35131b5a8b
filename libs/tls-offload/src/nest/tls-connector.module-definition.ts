import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { ConnectorOptions } from '../connector/connector.js';

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN: connectorOptionsToken } =
  new ConfigurableModuleBuilder<ConnectorOptions>({ moduleName: 'TlsConnector' }).setClassMethodName('forRoot').build();
